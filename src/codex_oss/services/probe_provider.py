"""A Responses provider that says four fixed sentences, slowly: by it one sees what a client shows before the end.

    PROGRESS_ONE … PROGRESS_TWO … PROGRESS_THREE … FINAL_DONE        a delay before each

Counterparts: `cli.probes` runs it for a person or for Codex' app-server. The frames are those of the bridge's own
encoder, so that a client which fails here fails for what it does with them.

| shape | the first three are | the last is |
| --- | --- | --- |
| `text` | message items without a phase | the same |
| `commentary` | message items of phase `commentary`, as a mission's remarks are | phase `final_answer` |
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Literal

from codex_oss.errors import StoreError
from codex_oss.wire.events import (
    ItemDone,
    ItemStarted,
    MessageStart,
    Phase,
    TextDelta,
    TurnCompleted,
    TurnEvent,
    TurnStarted,
    Usage,
    UsageReported,
)
from codex_oss.wire.items import TurnRequest
from codex_oss.wire.responses_stream import DONE_FRAME, ResponseEncoder

Shape = Literal["text", "commentary"]

MODEL: Final = "desktop-pre-final-text-probe"
PROGRESS: Final = ("PROGRESS_ONE", "PROGRESS_TWO", "PROGRESS_THREE")
FINAL: Final = "FINAL_DONE"
MAX_BODY_BYTES: Final = 16 * 1024 * 1024
MAX_DELAY_S: Final = 60.0


@contextmanager
def probe_provider(shape: Shape, *, port: int = 0, delay_s: float = 1.0) -> Iterator[str]:
    """Serve on loopback while the block runs; gives the base URL, which ends in `/v1`. port 0: a free one.

    Raises StoreError `address_in_use` when the port cannot be had.
    """

    class Handler(_Handler):
        pass

    Handler.shape, Handler.delay_s = shape, delay_s
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as exc:
        raise StoreError(f"Port {port} cannot be had: {exc.strerror}.", code="address_in_use") from exc
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="probe provider")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def frames(shape: Shape) -> Iterator[bytes]:
    """The answer in five writes: each progress, the final text with the end of the turn, and the last frame of SSE."""
    request = TurnRequest(f"resp_{secrets.token_hex(12)}", MODEL, (), stream=True, created_at=int(time.time()))
    encoder = ResponseEncoder(request, now=time.time)
    early: Phase | None = "commentary" if shape == "commentary" else None
    late: Phase | None = "final_answer" if shape == "commentary" else None
    for index, text in enumerate(PROGRESS):
        begin: Sequence[TurnEvent] = [TurnStarted()] if index == 0 else []
        yield encoder.encode([*begin, *_message(index, text, early)])
    usage = UsageReported(Usage(input_tokens=1, output_tokens=4))
    yield encoder.encode([*_message(len(PROGRESS), FINAL, late), usage, TurnCompleted()])
    yield DONE_FRAME


def _message(index: int, text: str, phase: Phase | None) -> list[TurnEvent]:
    return [ItemStarted(index, MessageStart(phase)), TextDelta(index, text), ItemDone(index)]


class _Handler(BaseHTTPRequestHandler):
    shape: Shape = "text"
    delay_s: float = 1.0
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Which models there are."""
        body = json.dumps({"object": "list", "data": [{"id": MODEL, "object": "model"}], "models": []}).encode()
        self._head("application/json", len(body))
        self.wfile.write(body)

    def do_POST(self) -> None:
        """One turn, whatever was asked."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            self.send_error(413)
            return
        self.rfile.read(int(length))
        self._head("text/event-stream; charset=utf-8", None)
        try:
            for frame in frames(self.shape):
                if frame != DONE_FRAME:
                    time.sleep(self.delay_s)
                self.wfile.write(frame)
                self.wfile.flush()
        except OSError:
            pass  # the client left
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: what a client asks is its own."""

    def _head(self, content_type: str, length: int | None) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Connection", "close")
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
