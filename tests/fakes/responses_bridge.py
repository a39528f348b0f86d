"""A stand-in for the bridge: `/v1/responses` that replays scripted message items, for clients of the bridge.

    with ResponsesBridge([("commentary", "reading"), ("final_answer", "done")]) as bridge:
        ...                     # a client of bridge.base_url sees two closed message items
        assert bridge.requests[0]["model"] == "mission-a3-local"

It answers at most `max_requests` times, so that a client that loops fails instead of hanging.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Script = Sequence[tuple[str, str]]
USAGE = {
    "input_tokens": 3,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 8,
}


class ResponsesBridge:
    """script: (phase, text) of each message, or a function of the request's body that gives them."""

    def __init__(
        self,
        script: Script | Callable[[dict[str, Any]], Script],
        *,
        ending: str = "response.completed",
        status: int = 200,
        max_requests: int = 20,
    ) -> None:
        self.requests: list[dict[str, Any]] = []
        self.script = script
        self.ending = ending
        self.status = status
        self.max_requests = max_requests
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def base_url(self) -> str:
        """Where clients go, `http://127.0.0.1:PORT/v1`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> ResponsesBridge:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def events(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """The events of one answer, without their sequence numbers."""
        script = self.script(body) if callable(self.script) else self.script
        response = {"id": "resp_1", "object": "response", "created_at": 1, "model": body["model"], "output": []}
        events: list[dict[str, Any]] = [
            {"type": "response.created", "response": {**response, "status": "in_progress"}},
        ]
        for index, (phase, text) in enumerate(script):
            events += _message_events(index, phase, text)
        if self.ending:
            error = {"code": "server_error", "message": "scripted failure"} if "failed" in self.ending else None
            status = self.ending.removeprefix("response.")
            events.append(
                {"type": self.ending, "response": {**response, "status": status, "usage": USAGE, "error": error}}
            )
        return events


def _message_events(index: int, phase: str, text: str) -> list[dict[str, Any]]:
    item = {"id": f"msg_{index}", "type": "message", "role": "assistant", "phase": phase}
    part = {"type": "output_text", "text": text, "annotations": []}
    place = {"output_index": index, "item_id": item["id"], "content_index": 0}
    return [
        {
            "type": "response.output_item.added",
            "output_index": index,
            "item": {**item, "status": "in_progress", "content": []},
        },
        {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
        {"type": "response.output_text.delta", **place, "delta": text},
        {"type": "response.output_text.done", **place, "text": text},
        {"type": "response.content_part.done", **place, "part": part},
        {
            "type": "response.output_item.done",
            "output_index": index,
            "item": {**item, "status": "completed", "content": [part]},
        },
    ]


def _handler_of(bridge: ResponsesBridge) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length", "0"))))
            bridge.requests.append(body)
            if bridge.status != 200 or len(bridge.requests) > bridge.max_requests:
                self._send(bridge.status if bridge.status != 200 else 500, "application/json", b'{"error":{}}')
                return
            frames = b""
            for number, event in enumerate(bridge.events(body)):
                data = json.dumps({**event, "sequence_number": number})
                frames += f"event: {event['type']}\ndata: {data}\n\n".encode()
            self._send(200, "text/event-stream", frames)

        def _send(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    return Handler
