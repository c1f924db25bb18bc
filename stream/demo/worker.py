"""A worker as a process of this one: it ends when this one does, be it by SIGKILL."""

import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from stream.embedded.server import GUARD, LAST_WORDS
from stream.errors import StreamError
from stream.settings import Settings

SESSION = 6_000
"""Group session timeout, ms."""


class Worker:
    """`stream worker` with all stages, under a guard."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        """Start it.

        Args:
            settings: Where Kafka and Redis are.
            folder: Its working directory, away from anybody's `.env`.
        """
        folder.mkdir()
        self._log = folder / "worker.log"
        # Settings of another installation are none of its business.
        environment = {n: v for n, v in os.environ.items() if not n.upper().startswith("STREAM_")}
        environment |= {
            "STREAM_KAFKA": settings.kafka,
            "STREAM_REDIS": settings.redis,
            "STREAM_SECRET": secrets.token_urlsafe(32),
            "STREAM_KAFKA_SESSION": str(SESSION),
            "STREAM_WEB": "",
            "TMPDIR": str(folder),  # what it leaves there goes with the folder
        }
        command = [sys.executable, "-m", "stream", "worker"]
        with self._log.open("ab") as log:
            self._guard = subprocess.Popen(  # noqa: S603 (the command is ours)
                [sys.executable, "-I", "-S", str(GUARD), str(folder / "lock"), *command],
                cwd=folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )

    def see_alive(self) -> None:
        """Say so if it has ended by itself.

        Raises:
            StreamError: It has; with its last words.
        """
        code = self._guard.poll()
        if code is not None:
            raise StreamError(
                f"The worker has ended by itself (exit code {code}). {self.last_words()}"
            )

    def last_words(self) -> str:
        """Quote the end of what it has said."""
        lines = [
            line for line in self._log.read_text(errors="replace").splitlines() if line.strip()
        ]
        if not lines:
            return "It said nothing."
        return "\n".join(["The last that it said:", *lines[-LAST_WORDS:]])

    def end(self) -> None:
        """End it in good order."""
        with contextlib.suppress(BrokenPipeError):
            cast("IO[bytes]", self._guard.stdin).close()
        self._guard.wait()


@contextmanager
def working(settings: Settings, folder: Path) -> Iterator[Worker]:
    """Run a worker until the end of the block."""
    worker = Worker(settings, folder)
    try:
        yield worker
    finally:
        worker.end()
