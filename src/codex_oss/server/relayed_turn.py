"""The ASGI answer of a relayed turn: a backend's status, headers and bytes as they come.

    slot ─► backend ─► head ─► chunk ─► send       (one task)
    receive ─► http.disconnect ─► cancel           (the other task)
    shutdown ─► interrupt ─► the connection is cut (by `OpenTurns`)

Counterparts: `server.gpt_relay` makes one, `services.relay` reads the backend, `wire.answer_tail` looks on.

Rules that hold here:

1. Not a byte is changed, added or held back; an answer that is cut there is cut here, and Codex reconnects by itself.
2. Our own errors come only before the head, in our form; a backend's are relayed as they are.
3. It is a turn like any other: it waits for its slot, drains at a shutdown, is counted and logged, and a client that
   leaves ends it at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from codex_oss.errors import BridgeError, fault_of
from codex_oss.policy.outbound import Headers
from codex_oss.server.errors import error_response, internal
from codex_oss.server.open_turns import Keep, OpenTurns
from codex_oss.server.turn_desk import AcceptedTurn, Outcome, TurnEnd
from codex_oss.server.turn_response import SHUTDOWN, OnEnd, disconnected
from codex_oss.services.relay import RelayedAnswer
from codex_oss.wire.answer_tail import AnswerTail
from codex_oss.wire.events import TurnStarted

log = logging.getLogger(__name__)

Answer = AbstractAsyncContextManager[RelayedAnswer]
OnHead = Callable[[RelayedAnswer], Headers]
"""Sees status and headers of the backend; returns the headers for the client."""

CODES: Final = {401: "upstream_unauthorized", 403: "upstream_unauthorized", 429: "rate_limited"}
"""What the log calls a backend's refusal; any other 4xx is `upstream_refused`, any 5xx `upstream_unavailable`."""


class RelayedTurn:
    """One turn. slot: what it waits for first. open_answer: asks the backend; called once, with the slot held."""

    keep: Keep | None = None
    """Nothing of it is stored."""

    def __init__(
        self,
        accepted: AcceptedTurn,
        turns: OpenTurns,
        on_end: OnEnd,
        *,
        slot: AbstractAsyncContextManager[object],
        open_answer: Callable[[], Answer],
        on_head: OnHead,
    ) -> None:
        self.ended = asyncio.Event()
        self._accepted = accepted
        self._turns = turns
        self._on_end = on_end
        self._slot = slot
        self._open_answer = open_answer
        self._on_head = on_head
        self._tail = AnswerTail()
        self._readable = True
        self._streamed = False
        self._status = 0
        self._begun_at = 0.0
        self._first_s: float | None = None
        self._whole = False
        self._error: BridgeError | None = None
        self._interrupted = False
        self._task: asyncio.Task[None] | None = None

    @property
    def response_id(self) -> str:
        """Our own name for the turn; the backend's is not read."""
        return self._accepted.request.response_id

    def response(self) -> dict[str, Any]:
        """Nothing is known of it; never asked for, since nothing is kept."""
        return {}

    def interrupt(self) -> None:
        """Cut it, because the bridge stops."""
        if self._task is not None and not self._interrupted:
            self._interrupted = True
            self._task.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Relay until the answer ended or the client left. An answer that is not whole leaves the connection cut."""
        self._begun_at = time.monotonic()
        self._turns.add(self)
        self._task = asyncio.create_task(self._run(scope, receive, send))
        gone = asyncio.create_task(disconnected(receive))
        try:
            await asyncio.wait((self._task, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._task.cancel()
            gone.cancel()
            for failure in await asyncio.gather(self._task, gone, return_exceptions=True):
                if isinstance(failure, Exception):
                    log.error("%s: could not end properly: %s", self.response_id, fault_of(failure))
            self._turns.discard(self)
            self.ended.set()
            self._on_end(self._end_of_turn())

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._relay(send)
            return
        except asyncio.CancelledError:
            if not self._interrupted:
                raise
            self._error = SHUTDOWN
        except BridgeError as exc:
            self._error = internal(exc) if exc.code == "internal" else exc
        except OSError as exc:
            log.info("%s: the client's connection broke: %s", self.response_id, exc)
            return
        except Exception as exc:
            self._error = internal(exc)
        if not self._status:
            await error_response(self._error)(scope, receive, send)

    async def _relay(self, send: Send) -> None:
        async with self._slot, self._opened() as answer:
            headers = self._on_head(answer)
            named = {name.lower(): value for name, value in answer.headers}
            self._readable = named.get(b"content-encoding", b"identity").lower() == b"identity"
            self._streamed = named.get(b"content-type", b"").lower().startswith(b"text/event-stream")
            self._status = answer.status
            await send({"type": "http.response.start", "status": answer.status, "headers": list(headers)})
            async for chunk in answer.chunks():
                if self._first_s is None:
                    self._first_s = time.monotonic() - self._begun_at
                self._tail.see(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            self._whole = True

    def _opened(self) -> Answer:
        """The answer. What opens it goes: it holds the body of the request."""
        open_answer = self._open_answer
        del self._open_answer
        return open_answer()

    def _end_of_turn(self) -> TurnEnd:
        outcome, code = self._judged()
        return TurnEnd(
            self._accepted,
            outcome,
            time.monotonic() - self._begun_at,
            error_code=code,
            usage=self._tail.usage() if self._readable and 200 <= self._status < 300 else None,
            started=TurnStarted(self._accepted.request.model, reason="passthrough") if self._status else None,
            first_batch_s=self._first_s,
        )

    def _judged(self) -> tuple[Outcome, str]:
        """How it ended, as far as bytes that nobody decoded can tell."""
        if not self._status:
            return ("cancelled", "") if self._error is None else ("refused", self._error.code)
        if self._status >= 300:
            refused = "upstream_unavailable" if self._status >= 500 else "upstream_refused"
            return "refused", CODES.get(self._status, refused)
        if self._tail.ending:
            return self._tail.ending, "upstream_error" if self._tail.ending == "failed" else ""
        if self._error is not None:
            return "failed", self._error.code
        if not self._whole:
            return "cancelled", ""
        return ("failed", "stream_interrupted") if self._streamed and self._readable else ("completed", "")
