"""What is kept of a session, line by line, and the conversation as a fold of it.

Counterparts: `services.session_journal` writes the records, `services.agent_turn` decides when; `agent.events` is
what is shown meanwhile.

    SessionBegan ─► ( PromptGiven ─► ( Answered ─► ( CallBegun? ─► CallSettled )* )* ─► TurnClosed )*

Rules that hold here:

1. The conversation with the model is a fold of the records and only ever grows, so that prompt caches hit.
2. A call without an outcome is never sent: whoever goes on with a session that was killed settles its open calls
   first, in words that claim nothing (`closings`).
3. A record is written before what it announces is done: an answer with calls stands on disk before the first one runs.
4. New fields get defaults, new records new tags: a session of an older version stays readable.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, assert_never

from msgspec import Struct

from codex_oss.errors import LocalProtocolError
from codex_oss.wire.events import Usage
from codex_oss.wire.items import FunctionCall, Item, Message, ReasoningItem, TextPart, ToolOutput

JOURNAL_VERSION: Final = 1

UNKNOWN: Final = (
    "The turn was cut off while this was under way. Whether it was done is not known: look before you go on."
)
NOT_RUN: Final = "Not run, or its result was lost: the turn was cut off before. Nothing was changed by this call."

Said = Message | FunctionCall | ReasoningItem
"""What a model says. Reasoning keeps the ciphertext of its maker, which goes back to no other (`wire.seals`)."""


class SessionBegan(Struct, frozen=True, tag="session"):
    """The first line. project: the folder, for a person who looks."""

    session_id: str
    created_at: int
    project: str = ""
    version: int = JOURNAL_VERSION


class PromptGiven(Struct, frozen=True, tag="prompt", omit_defaults=True):
    """A turn begins. at: seconds since the epoch."""

    text: str
    model: str
    at: int = 0


class Answered(Struct, frozen=True, tag="answer", omit_defaults=True):
    """The model answered. items: in its order; calls only when the answer came whole."""

    items: tuple[Said, ...]
    usage: Usage = Usage()
    profile: str = ""
    deviation: str = ""
    """What the person was last told of somebody else answering; empty when all is as asked."""


class CallBegun(Struct, frozen=True, tag="begun"):
    """A call that may change something is performed from here on."""

    call_id: str


class CallSettled(Struct, frozen=True, tag="call", omit_defaults=True):
    """What became of one call. code: `done`, `failed`, `unknown`, or why it was not run."""

    call_id: str
    output: str
    code: str = "done"


class TurnClosed(Struct, frozen=True, tag="closed", omit_defaults=True):
    """A turn ended. outcome: one of `agent.events.Outcome`."""

    outcome: str
    code: str = ""


Record = SessionBegan | PromptGiven | Answered | CallBegun | CallSettled | TurnClosed


class Conversation:
    """The fold: what the model reads next, and what is still open."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self.session_id = ""
        self.model = ""
        """The name of the last turn."""
        self.turns = 0
        self.deviation = ""
        """What the person was last told of somebody else answering."""
        self.turn_open = False
        self.used_call_ids: set[str] = set()
        self._items: list[Item] = []
        self._open: dict[str, FunctionCall] = {}
        self._begun: set[str] = set()
        for record in records:
            self.take(record)

    def take(self, record: Record) -> None:
        """Go on by one record. Raises LocalProtocolError for an order that no session has."""
        match record:
            case SessionBegan(session_id=session_id):
                self.session_id = session_id
            case PromptGiven(text=text, model=model):
                self._expect_settled("a prompt")
                self._items.append(Message("user", (TextPart(text),)))
                self.model, self.turns, self.turn_open = model, self.turns + 1, True
            case Answered(items=items, deviation=deviation):
                self._expect_settled("an answer")
                self._answered(items)
                self.deviation = deviation
            case CallBegun(call_id=call_id):
                self._expect_open(call_id)
                self._begun.add(call_id)
            case CallSettled(call_id=call_id, output=output):
                self._expect_open(call_id)
                del self._open[call_id]
                self._items.append(ToolOutput(call_id, (TextPart(output),)))
            case TurnClosed():
                self._expect_settled("the end of a turn")
                self.turn_open = False
            case _:
                assert_never(record)

    @property
    def open_calls(self) -> tuple[FunctionCall, ...]:
        """Calls of the last answer that have no outcome yet, in order."""
        return tuple(self._open.values())

    def was_begun(self, call_id: str) -> bool:
        """Whether a call may have changed something."""
        return call_id in self._begun

    def items(self) -> tuple[Item, ...]:
        """What the model reads. Raises LocalProtocolError while a call is open (rule 2)."""
        self._expect_settled("a question")
        return tuple(self._items)

    @property
    def said(self) -> tuple[Item, ...]:
        """Everything so far, open calls included: for a person who reads it again, never for a model."""
        return tuple(self._items)

    def _answered(self, items: tuple[Said, ...]) -> None:
        for item in items:
            self._items.append(item)
            if isinstance(item, FunctionCall):
                if item.call_id in self.used_call_ids:
                    raise LocalProtocolError("The journal names a call twice.")
                self.used_call_ids.add(item.call_id)
                self._open[item.call_id] = item

    def _expect_open(self, call_id: str) -> None:
        if call_id not in self._open:
            raise LocalProtocolError("The journal tells of a call that is not open.")

    def _expect_settled(self, what: str) -> None:
        if self._open:
            raise LocalProtocolError(f"{what} cannot follow while {len(self._open)} call(s) are open.")


def closings(conversation: Conversation) -> list[CallSettled]:
    """The records that settle what is open, honestly and in order; empty when nothing is."""
    return [
        CallSettled(call.call_id, UNKNOWN, "unknown")
        if conversation.was_begun(call.call_id)
        else CallSettled(call.call_id, NOT_RUN, "not_run")
        for call in conversation.open_calls
    ]
