"""What became of each request that a turn made to an account, until the turn's line in the request log is written.

Counterparts: `lanes.chatgpt` begins and ends them, `server.turn_notes` takes them when the turn is over.

Rule: it holds the newest MAX_TURNS turns; one that nobody takes costs its place and nothing else.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from codex_oss.services.request_record import AttemptNote

MAX_TURNS: Final = 1024
CANCELLED: Final = "cancelled"
"""The outcome of a request whose turn ended before it did."""


class AttemptBook:
    """The requests of turns under way, by response id. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: OrderedDict[str, list[AttemptNote]] = OrderedDict()

    def begin(self, response_id: str, account: str, reason: str) -> None:
        """A request is made."""
        with self._lock:
            self._turns.setdefault(response_id, []).append(AttemptNote(account, reason, CANCELLED))
            while len(self._turns) > MAX_TURNS:
                self._turns.popitem(last=False)

    def end(self, response_id: str, outcome: str) -> None:
        """The request that was made last came to this."""
        with self._lock:
            if notes := self._turns.get(response_id):
                notes[-1] = AttemptNote(notes[-1].account, notes[-1].reason, outcome)

    def take(self, response_id: str) -> tuple[AttemptNote, ...]:
        """The requests of a turn, in order; they are forgotten here."""
        with self._lock:
            return tuple(self._turns.pop(response_id, ()))
