"""The serving process: a uvicorn server with our own ready line, signals and end.

    bind ─► startup ─► announce ─► "listening on …" ─► serve ─► SIGTERM ─► drain ─► interrupt ─► gone

Rules that hold here:

1. The first line on stdout is the ready line; everything else goes to stderr.
2. After SIGTERM or SIGINT the process is gone within 5 s: open turns get `shutdown_drain_s` (at most MAX_DRAIN_S) to
   end by themselves, then a failed terminal event. A second signal ends the waiting. A thread is the last resort.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final, cast

import uvicorn
from starlette.types import ASGIApp

from codex_oss.server.http_protocol import BoundedHttp
from codex_oss.server.open_turns import OpenTurns
from codex_oss.wiring.bridge import Bridge

MAX_DRAIN_S: Final = 3.3
INTERRUPT_GRACE_S: Final = 0.3
LAST_RESORT_S: Final = 4.8
PING_INTERVAL_S: Final = 60.0
PING_PATIENCE_S: Final = 900.0
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
OLD_ROUNDS: Final = 100
"""Rounds of the middle generation before the collector looks at everything; Python's own number is 10."""
IDLE_ROUNDS: Final = 5
"""Rounds of the youngest generation after which an idle bridge looks at everything."""


def open_socket(**arguments: Any) -> asyncio.Protocol:
    """The protocol of one WebSocket connection, imported with the first one: most bridges never see one."""
    from codex_oss.server.socket_protocol import SocketProtocol

    return SocketProtocol(**arguments)


def calm_collector() -> None:
    """Let the garbage collector pass over what the start made, and look at everything only when the bridge is idle.

    What a turn makes goes by itself, without cycles. Measured while 512 streams began: by Python's own thresholds the
    collector stood in the way of every delta for 50 to 150 ms at a time, looking at modules and at open turns.
    """
    gc.collect()
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, OLD_ROUNDS)


class BridgeServer(uvicorn.Server):
    """One server process. announce: called when it accepts; withdraw: called if it has to die hard."""

    def __init__(
        self,
        app: ASGIApp,
        bridge: Bridge,
        turns: OpenTurns,
        *,
        announce: Callable[[], None],
        withdraw: Callable[[], None],
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedHttp,
                loop="uvloop",
                ws=cast("type[asyncio.Protocol]", open_socket),
                ws_max_size=bridge.config.max_body_bytes,
                # Who does not answer a ping is gone, but slowly: a client that waits for its tool may not read for
                # minutes. The kernel tells at once of a process of this machine that died.
                ws_ping_interval=PING_INTERVAL_S,
                ws_ping_timeout=PING_PATIENCE_S,
                # On loopback it costs more for each token than it saves.
                ws_per_message_deflate=False,
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=1,
            )
        )
        self._bridge = bridge
        self._turns = turns
        self._announce = announce
        self._withdraw = withdraw
        self._loop: asyncio.AbstractEventLoop | None = None
        self._last_resort = threading.Timer(LAST_RESORT_S, self._die)
        self._last_resort.daemon = True

    def serve_on(self, sock: socket.socket) -> None:
        """Serve the listening *sock* until a signal."""
        try:
            self.run(sockets=[sock])
        finally:
            self._last_resort.cancel()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        if self.started:
            self._loop = asyncio.get_running_loop()
            self._announce()
            calm_collector()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second; collect garbage while nobody waits."""
        if not self._turns and gc.get_count()[1] >= IDLE_ROUNDS:
            gc.collect()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, let open turns end or end them, then close everything."""
        self._last_resort.start()
        for server in self.servers:
            server.close()
        patience_s = 0.0 if self.force_exit else min(self._bridge.config.shutdown_drain_s, MAX_DRAIN_S)
        await self._turns.drain(patience_s, INTERRUPT_GRACE_S)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; on a second signal stop waiting for open turns."""
        if self.should_exit and self._loop is not None:
            self._loop.call_soon_threadsafe(self._turns.interrupt)
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals without raising them again at the end: a clean stop exits with 0."""
        previous = {number: signal.signal(number, self.handle_exit) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _die(self) -> None:
        self._withdraw()
        sys.stderr.write("the bridge did not end in time and was cut off\n")
        os._exit(1)
