"""A proxy before Redis that is slow, cuts connections, and can be turned to another Redis."""

import asyncio
import threading
from contextlib import suppress
from typing import Self

from stream.embedded.ports import LOOPBACK, free_port

EXEC = b"$4\r\nEXEC\r\n"


class Proxy:
    """Listens on a port of this machine, from a thread of its own.

    Attributes:
        target: Port that it passes everything to; connections that are open stay where they are.
        delay: Seconds by which it holds everything back, both ways.
        cut_every: So many `EXEC`, and the next ends the connection: by turns before it has
            arrived, and when it has but the answer has not. 0 for never.
        cuts: How many it has cut.
        address: What a client is given.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.delay = 0.0
        self.cut_every = 0
        self.cuts = 0
        self._port = free_port()
        self.address = f"redis://{LOOPBACK}:{self._port}/0"
        self._execs = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._deaf: set[asyncio.StreamWriter] = set()
        """Ends towards Redis whose next answer is not passed on."""
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def cut_all(self) -> None:
        """End every connection."""
        for writer in list(self._open):
            self._loop.call_soon_threadsafe(writer.close)

    def _run(self) -> None:
        asyncio.run(self._listen())

    async def _listen(self) -> None:
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._serve, LOOPBACK, self._port)
        self._ready.set()
        await self._stop.wait()
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(LOOPBACK, self.target)
        except OSError:
            writer.close()
            return
        ends = {writer, back}
        self._open |= ends
        pumps = [self._ask(reader, back), self._answer(there, writer, back)]
        tasks = [asyncio.create_task(pump) for pump in pumps]
        with suppress(asyncio.CancelledError):  # it ends with all others
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        self._open -= ends
        for end in ends:
            end.close()

    async def _ask(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                if EXEC in data and self._is_due():
                    self.cuts += 1
                    if self.cuts % 2:
                        data = data[: data.index(EXEC)]
                        self._pass(back, data)
                        await back.drain()
                        return
                    self._deaf.add(back)
                self._pass(back, data)

    async def _answer(
        self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while data := await there.read(1 << 16):
                if back in self._deaf:
                    self._deaf.discard(back)
                    return
                self._pass(writer, data)

    def _is_due(self) -> bool:
        self._execs += 1
        return bool(self.cut_every) and self._execs % self.cut_every == 0

    def _pass(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        if self.delay:
            self._loop.call_later(self.delay, writer.write, data)
        else:
            writer.write(data)
