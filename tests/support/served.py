"""A `camkit` for shell scripts that call it often: each call is a copy of an interpreter that has loaded torch."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.warm import LOADED, load, run_as_camkit

CLIENT = """#!{python} -ISs
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    request = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode() + b"\\n"
    socket.send_fds(server, [request], [0, 1, 2])
    sys.exit(int(server.makefile().readline() or 70))
"""


@contextmanager
def served_camkit(folder: Path) -> Iterator[Path]:
    """A folder for PATH, with a program `camkit` in it, for the time of the block."""
    programs, address = folder / "bin", str(folder / "socket")
    programs.mkdir()
    program = programs / "camkit"
    program.write_text(CLIENT.format(python=sys.executable, address=address))
    program.chmod(0o755)
    root = Path(__file__).parents[2]
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen(16)
        command = [sys.executable, "-m", "tests.support.served", str(listening.fileno())]
        server = subprocess.Popen(command, cwd=root, pass_fds=[listening.fileno()], start_new_session=True)
    try:
        yield programs
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, 9)
        server.wait()


def main() -> None:
    load(LOADED)
    listening = socket.socket(fileno=int(sys.argv[1]))
    while True:
        connection, _ = listening.accept()
        if os.fork() == 0:  # waits for the command beside the next one: a pipe has several at once
            listening.close()
            break
        connection.close()
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    request, streams, *_ = socket.recv_fds(connection, 1 << 20, 3)
    while not request.endswith(b"\n"):
        request += connection.recv(1 << 20)
    copy = os.fork()
    if copy == 0:
        connection.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        run_as_camkit(*json.loads(request))
    for stream in (*streams, 0, 1, 2):
        os.close(stream)
    _, status = os.waitpid(copy, 0)
    connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


if __name__ == "__main__":
    main()
