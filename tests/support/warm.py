"""An interpreter that has loaded torch and makes a copy of itself for each command: a new one loads it for seconds.

A copy has its own memory, folder, environment, standard streams and end, like a process that a shell starts, and loads
camkit itself. Copies share the other packages and the seed of the hashes of strings: hence two such interpreters take
turns, and what depends on the order of a set shows as it does between two processes.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

LOADED = ("torch", "torch._dynamo", "numba", "h5py", "typer", "PIL.Image")
"""torch loads torch._dynamo when an optimiser is made."""


class WarmInterpreter:
    """One command after the other, in copies of an interpreter that is started when first asked."""

    def __init__(self, loaded: Sequence[str] = LOADED) -> None:
        self.loaded = loaded
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        self.socket, theirs = socket.socketpair()
        with theirs:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.support.warm", str(theirs.fileno()), *self.loaded],
                cwd=Path(__file__).parents[2], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                env=environment, start_new_session=True, pass_fds=[theirs.fileno()],
            )  # fmt: skip

    def run(
        self, arguments: Sequence[str], cwd: Path, environment: dict[str, str], input: bytes | None, timeout: float
    ) -> subprocess.CompletedProcess[bytes]:
        """As subprocess.run does; a run that takes too long takes the interpreter along."""
        if self.process is None or self.process.poll() is not None:
            self.process = self.start(environment)
        stdin, feed = os.pipe() if input is not None else (os.open(os.devnull, os.O_RDONLY), None)
        (out, stdout), (err, stderr) = os.pipe(), os.pipe()
        request = json.dumps([arguments, str(cwd), environment]).encode() + b"\n"
        socket.send_fds(self.socket, [request], [stdin, stdout, stderr])
        for number in (stdin, stdout, stderr):
            os.close(number)
        with ThreadPoolExecutor(3) as pool:
            texts = [pool.submit(_read, number) for number in (out, err)]
            if feed is not None:
                pool.submit(_write, feed, input)
            self.socket.settimeout(timeout)
            try:
                answer = self.socket.recv(100)
            except TimeoutError:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
                raise subprocess.TimeoutExpired(arguments, timeout) from None
        assert answer, "the interpreter is gone"
        return subprocess.CompletedProcess(arguments, int(answer), texts[0].result(), texts[1].result())


def _read(number: int) -> bytes:
    with open(number, "rb") as file:
        return file.read()


def _write(number: int, data: bytes) -> None:
    try:
        with open(number, "wb") as file:
            file.write(data)
    except BrokenPipeError:
        return  # the command did not want it all


def main() -> None:
    """Waits for commands; a copy that has one runs it and ends as `python -m camkit` does."""
    for name in sys.argv[2:]:
        importlib.import_module(name)
    gc.freeze()  # what is there now is never looked through again, and stays one piece of memory for all copies
    arguments, cwd, environment = wait_for_a_command(socket.socket(fileno=int(sys.argv[1])))
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:], sys.path[0] = arguments, cwd
    runpy.run_module("camkit", run_name="__main__", alter_sys=True)


def wait_for_a_command(connection: socket.socket) -> Any:
    """Returns in a copy; the interpreter itself stays here until nobody is left to ask."""
    while True:
        request, streams, *_ = socket.recv_fds(connection, 1 << 20, 3)
        while request and not request.endswith(b"\n"):
            request += connection.recv(1 << 20)
        if not request:
            sys.exit()
        copy = os.fork()
        if copy == 0:
            connection.close()
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            return json.loads(request)
        for stream in streams:
            os.close(stream)
        connection.sendall(str(os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])).encode())


if __name__ == "__main__":
    main()
