"""What the last turns of a client's session came to, so that nobody goes round in circles with us.

Counterpart: `lanes.oss` notes the end of each turn here. Two circles were observed:

| client | circle | what ends it |
| --- | --- | --- |
| OpenCode 1.18 | the model says "too long", the client compacts (which succeeds) and asks again, for ever | the third |
|               | refusal of a session without an answer in between is told as `context_loop_stopped`        |       |
| Codex 0.169 | repeats a failed turn up to 30 times, each of which we would repeat twice more              | a turn |
|             | that the client itself repeats gets one try per model, not three                            |       |

Rules that hold here:

1. A session is the client's own id; a turn without one is never judged. Turns with tools and without are told apart
   (`session_key`): a client's compaction and title turns offer none, and their success ends no circle.
2. A turn without tools that is answered may be such a compaction, so it forgets no refusal.
3. Once told, the count begins anew: the next message of the user may compact again.

No clock here: now is seconds on a clock that never goes back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

MAX_OVERFLOWS: Final = 3
OVERFLOW_WINDOW_S: Final = 900.0
"""A compaction by a slow model lies between two refusals."""
REPEAT_WINDOW_S: Final = 90.0
"""A client that repeats a turn does so within this time: our longest Retry-After is 60 s."""
MAX_SESSIONS: Final = 1024


@dataclass(frozen=True, slots=True)
class _Past:
    overflows: int = 0
    overflowed_at: float = 0.0
    failed_at: float | None = None


def session_key(session_id: str, thread_id: str, *, with_tools: bool) -> str:
    """What one line of turns is remembered by; empty when the client does not say who it is."""
    session = thread_id or session_id
    return f"{session} {'tools' if with_tools else ''}" if session else ""


class SessionGuard:
    """The memory of all sessions of one bridge; the oldest are forgotten."""

    def __init__(self) -> None:
        self._past: dict[str, _Past] = {}

    def overflowed(self, session: str, now: float) -> bool:
        """Note that a conversation was too long. True when this must end here: the client only repeats itself."""
        past = self._past.get(session, _Past())
        recent = past.overflows if now - past.overflowed_at <= OVERFLOW_WINDOW_S else 0
        stop = bool(session) and recent + 1 >= MAX_OVERFLOWS
        self._keep(session, replace(past, overflows=0 if stop else recent + 1, overflowed_at=now))
        return stop

    def failed(self, session: str, now: float) -> None:
        """Note that a turn failed in a way that a client may repeat."""
        self._keep(session, replace(self._past.get(session, _Past()), failed_at=now))

    def stopped(self, session: str) -> None:
        """Note that the client was told to stop: what comes next is its user's."""
        self._keep(session, replace(self._past.get(session, _Past()), failed_at=None))

    def answered(self, session: str, *, with_tools: bool) -> None:
        """Note that a turn was answered. with_tools: it offered tools."""
        past = self._past.get(session)
        if past is not None:
            kept = _Past() if with_tools else replace(past, failed_at=None)
            self._keep(session, kept)

    def is_repeat(self, session: str, now: float) -> bool:
        """Is a turn that begins now the client's own repetition of one that just failed?"""
        failed_at = self._past.get(session, _Past()).failed_at
        return failed_at is not None and now - failed_at <= REPEAT_WINDOW_S

    def _keep(self, session: str, past: _Past) -> None:
        self._past.pop(session, None)
        if not session or past == _Past():
            return
        if len(self._past) >= MAX_SESSIONS:
            del self._past[next(iter(self._past))]
        self._past[session] = past
