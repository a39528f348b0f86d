"""A relay between a client and the bridge that counts the requests passing through, whatever happens behind it.

    with Relay(bridge_port) as relay:
        ...                         # point the client at relay.base_url
        assert relay.requests == 2

It works on bytes: a request is the beginning of a POST to a turn's path. What ends on one side ends on the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from typing import Final

POST: Final = re.compile(rb"POST /v1/(?:responses|chat/completions) HTTP/1\.1\r\n")
TAIL_BYTES: Final = 64
"""Kept of what was read before, because a read may end within the line."""


class Relay:
    """A context manager; runs in a thread of its own."""

    def __init__(self, port: int) -> None:
        self.requests = 0
        self.base_url = ""
        self._port = port
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Relay:
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the relay did not start")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        self._ready.set()
        await self._stop.wait()
        server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            bridge_reader, bridge_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        ways = (self._pass(reader, bridge_writer, counted=True), self._pass(bridge_reader, writer, counted=False))
        tasks = [asyncio.ensure_future(way) for way in ways]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            writer.close()
            bridge_writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool) -> None:
        tail = b""
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if counted:
                    self.requests += len(POST.findall(tail + data)) - len(POST.findall(tail))
                    tail = (tail + data)[-TAIL_BYTES:]
                writer.write(data)
                await writer.drain()
