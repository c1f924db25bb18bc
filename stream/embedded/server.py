"""One server of another make, run as a process of ours."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from stream.embedded.ports import require_free
from stream.errors import Misconfigured

Say = Callable[[str], None]
"""Where lines about the progress go."""

PATIENCE = 120.0
"""Seconds that a server has from its start to its first answer. A log to recover takes its time."""
LAST_WORDS = 8
"""Lines of a server's log that are shown when it fails."""
GUARD = Path(__file__).with_name("guard.py")


def silent(_: str) -> None:
    """Say nothing."""


class Server:
    """A server that listens on this machine only and ends when this process does.

    Attributes:
        name: As it is spoken of.
        folder: Its data, its configuration and its log, kept from start to start.
        port: Where it listens, the same at every start.
        address: What a client is given to reach it.
        pid: Its process, while it runs.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        port: int,
        *,
        address: str,
        prepare: Callable[[], list[str]],
        answers: Callable[[], bool],
        say: Say,
    ) -> None:
        """Describe a server; nothing happens yet.

        Args:
            name: As it is spoken of.
            folder: Its working directory, made if need be.
            port: Where it will listen.
            address: What a client is given to reach it.
            prepare: Makes ready what a start needs, and answers with the command.
            answers: Whether a real request is answered.
            say: Where to report.
        """
        self.name = name
        self.folder = folder.absolute()
        self.port = port
        self.address = address
        self.pid: int | None = None
        self._prepare = prepare
        self._answers = answers
        self._say = say
        self._guard: subprocess.Popen[bytes] | None = None
        self._log = self.folder / f"{name.lower()}.log"
        self._log_before = 0

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._guard is not None and self._guard.poll() is None

    def start(self) -> None:
        """Start, on the data of last time if there are any, and wait for the first answer."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start without waiting, so that others can start meanwhile."""
        if self.running:
            return
        self.stop()
        require_free(self.port, self.name)
        with _folder_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            command = self._prepare()
            self._spawn(command)

    def wait(self) -> None:
        """Return when requests are answered."""
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if not self.running:
                raise Misconfigured(f"{self.name} did not start. {self.last_words()}")
            if time.monotonic() > deadline:
                raise Misconfigured(
                    f"{self.name} does not answer after {PATIENCE:.0f} s. {self.last_words()}"
                )
            time.sleep(0.02)
        self._say(f"{self.name} ready on {self.address}")

    def stop(self) -> None:
        """End it in good order. Nothing happens if it does not run."""
        if self._guard is None:
            return
        cast("IO[bytes]", self._guard.stdin).close()
        self._guard.wait()
        self._guard = self.pid = None

    def kill(self) -> None:
        """End it the hard way, by SIGKILL, as a crash would."""
        if self.running and self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self.stop()

    def last_words(self) -> str:
        """Quote the end of what it has logged since its last start, without stack traces."""
        try:
            with self._log.open(errors="replace") as log:
                log.seek(self._log_before)
                lines = [line.rstrip() for line in log if line.strip() and line[0] != "\t"]
        except OSError:
            lines = []
        if not lines:
            return f"It logged nothing to {self._log}."
        return "\n".join([f"The end of {self._log}:", *lines[-LAST_WORDS:]])

    def _spawn(self, command: list[str]) -> None:
        lock = self.folder / "lock"
        with self._log.open("ab") as log:
            self._log_before = log.tell()
            guard = subprocess.Popen(  # noqa: S603 (the command is ours)
                [sys.executable, "-I", "-S", str(GUARD), str(lock), *command],
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._guard = guard
        with cast("IO[bytes]", guard.stdout) as words:
            word = words.readline().decode().strip()
        if word == "taken":
            self.stop()
            raise Misconfigured(
                f"Another {self.name} uses {self.folder}. End that one, or give another folder."
            )
        self.pid = int(word) if word else None


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """Start a server, and stop it at the end, also if the start fails."""
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextmanager
def data_folder(folder: Path | None) -> Iterator[Path]:
    """Use a folder that is given and kept, or a temporary one that is deleted at the end."""
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="stream-", ignore_cleanup_errors=True) as temporary:
        yield Path(temporary)


@contextmanager
def _folder_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Misconfigured(f"{folder} cannot be used for data: {error}") from error
