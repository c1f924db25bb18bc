"""Runs a server that ends with the process that asked for it, however that one ends.

Started as a script of its own, without this product's packages: `guard.py LOCK COMMAND…`.
Its standard input is a pipe whose other end only the asker holds. When that closes, the asker is
done or dead, even by SIGKILL, and the server is ended. The asker starts the guard in a session
of its own, so Ctrl-C in a terminal reaches neither guard nor server.

Prints the server's process id, or `taken` if another server uses the folder.
"""

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

GRACE = 10.0
"""Seconds that a server has between TERM and KILL."""
GLANCE = 1.0
"""Seconds between looks at whether the asker still lives."""


def main(lock: Path, command: list[str]) -> int:
    """Run the command until it ends or the asker does."""
    asker = os.getppid()
    with lock.open("a") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stdout.write("taken\n")
            return 1
        # The server inherits the lock: the folder stays taken for as long as it lives.
        server = subprocess.Popen(  # noqa: S603 (the command comes from the asker)
            command, stdin=subprocess.DEVNULL, stdout=sys.stderr, pass_fds=[held.fileno()]
        )
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    threading.Thread(target=end_with, args=(asker, server), daemon=True).start()
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(f"{server.pid}\n")
        sys.stdout.flush()
    return server.wait()


def end_with(asker: int, server: "subprocess.Popen[bytes]") -> None:
    """End the server when the asker is done with it.

    The parent's id is watched as well as the pipe: a fork of the asker may hold the pipe open.
    """
    while os.getppid() == asker:
        if select.select([0], [], [], GLANCE)[0] and not os.read(0, 1):
            break
    server.terminate()
    try:
        server.wait(GRACE)
    except subprocess.TimeoutExpired:
        server.kill()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
