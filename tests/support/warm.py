"""An interpreter that has loaded torch and makes a copy of itself for each command: a new one loads it for seconds.

A copy has its own memory, folder, environment, standard streams and end, like a process that a shell starts, and loads
camkit itself. Copies share the other packages and the seed of the hashes of strings: hence two such interpreters take
turns, and what depends on the order of a set shows as it does between two processes.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

LOADED = ("torch", "torch._dynamo", "numba", "h5py", "typer", "pydantic.main", "PIL.Image")
"""What commands load: torch does torch._dynamo when an optimiser is made, and typer pydantic, if there."""


class Running:
    """A command on its way: what tests use of subprocess.Popen."""

    def __init__(self, interpreter: WarmInterpreter, feed: int | None, out: int, err: int) -> None:
        self._interpreter, self._answers = interpreter, interpreter.answers
        self._streams = [os.fdopen(out, "rb"), os.fdopen(err, "rb")]
        self._feed = feed
        self.pid = self._answer()
        self.returncode: int | None = None

    def _answer(self) -> int:
        line = self._answers.readline()
        assert line, "the interpreter is gone"
        return int(line)

    def send_signal(self, number: int) -> None:
        """To a process that is there until the interpreter is asked for the next."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def wait(self) -> int:
        if self.returncode is None:
            self.returncode = self._answer()
        return self.returncode

    def communicate(self, input: bytes = b"", timeout: float | None = None) -> tuple[bytes, bytes]:
        """A command that takes too long takes the interpreter along."""
        with ThreadPoolExecutor(3) as pool:
            texts = [pool.submit(_read, stream) for stream in self._streams]
            if self._feed is not None:
                pool.submit(_write, self._feed, input)
            try:
                self._interpreter.socket.settimeout(timeout)
                self.wait()
            except TimeoutError:
                self._interpreter.kill()
                raise
            self._interpreter.socket.settimeout(None)
        return texts[0].result(), texts[1].result()


class WarmInterpreter:
    """One command after the other, in copies of an interpreter that is started when first asked."""

    def __init__(self, loaded: Sequence[str] = LOADED) -> None:
        self.loaded = loaded
        self.process: subprocess.Popen[bytes] | None = None

    def start(
        self, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], piped: bool = False
    ) -> Running:
        """Without `piped`, standard input is empty and no pipe."""
        if self.process is None or self.process.poll() is not None:
            self._begin(environment)
        stdin, feed = os.pipe() if piped else (os.open(os.devnull, os.O_RDONLY), None)
        (out, stdout), (err, stderr) = os.pipe(), os.pipe()
        request = json.dumps([arguments, str(cwd), dict(environment)]).encode() + b"\n"
        socket.send_fds(self.socket, [request], [stdin, stdout, stderr])
        for number in (stdin, stdout, stderr):
            os.close(number)
        return Running(self, feed, out, err)

    def run(
        self, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], input: bytes | None, timeout: float
    ) -> subprocess.CompletedProcess[bytes]:
        """As subprocess.run does."""
        running = self.start(arguments, cwd, environment, piped=input is not None)
        try:
            out, err = running.communicate(input or b"", timeout)
        except TimeoutError:
            raise subprocess.TimeoutExpired(list(arguments), timeout) from None
        return subprocess.CompletedProcess(list(arguments), running.wait(), out, err)

    def kill(self) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _begin(self, environment: Mapping[str, str]) -> None:
        self.socket, theirs = socket.socketpair()
        self.answers = self.socket.makefile("rb")
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.warm", str(theirs.fileno()), *self.loaded],
                cwd=Path(__file__).parents[2], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment,
                start_new_session=True, pass_fds=[theirs.fileno()],
            )  # fmt: skip


def _read(stream: BinaryIO) -> bytes:
    with stream:
        return stream.read()


def _write(number: int, data: bytes) -> None:
    with suppress(BrokenPipeError), open(number, "wb") as stream:  # the command need not want it all
        stream.write(data)


def main() -> None:
    """Waits for commands; a copy that has one runs it and ends as `python -m camkit` does."""
    load(sys.argv[2:])
    run_as_camkit(*wait_for_a_command(socket.socket(fileno=int(sys.argv[1]))))


def load(names: Sequence[str]) -> None:
    for name in names:
        with suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()  # what is there now is never looked through again, and stays one piece of memory for all copies


def run_as_camkit(arguments: Sequence[str], cwd: str, environment: Mapping[str, str]) -> None:
    """In a copy: what `python -m camkit` does there."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:], sys.path[0] = arguments, cwd
    try:
        runpy.run_module("camkit", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        leave(end)


def wait_for_a_command(connection: socket.socket) -> Any:
    """Returns in a copy; the interpreter itself stays here until nobody is left to ask."""
    before = None
    while True:
        request, streams, *_ = socket.recv_fds(connection, 1 << 20, 3)
        while request and not request.endswith(b"\n"):
            request += connection.recv(1 << 20)
        if not request:
            sys.exit()
        if before:
            os.waitpid(before, 0)  # not earlier: until now its number was its own, and a signal to it met nobody else
        before = copy = os.fork()
        if copy == 0:
            connection.close()
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            return json.loads(request)
        for stream in streams:
            os.close(stream)
        connection.sendall(b"%d\n" % copy)
        ended = os.waitid(os.P_PID, copy, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        exited = ended.si_code == os.CLD_EXITED
        connection.sendall(b"%d\n" % (ended.si_status if exited else -ended.si_status))


def leave(end: SystemExit) -> NoReturn:
    """Ends as Python does, except that it takes no module apart: torch's take longer than most commands."""
    if not isinstance(end.code, int | None):
        raise end
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(end.code or 0)


if __name__ == "__main__":
    main()
