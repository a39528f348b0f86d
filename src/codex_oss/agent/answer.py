"""One answer of the model: turn events in, what to show and what to keep out.

Counterparts: `wire.events` is what a lane says, `agent.events` what a person is shown, `agent.journal` what is kept.

Rules that hold here:

1. Only an answer that came whole has calls: half of one would be run with arguments that nobody wrote.
2. Of an answer that was cut the text stays, because the person saw it; reasoning without what follows it goes.
3. Every call has an id of its own in the session; one without, or with one that was used, gets a new one.
4. Nothing grows without bound: an answer beyond `MAX_ANSWER_CHARS` is cut, arguments beyond `MAX_ARGUMENT_CHARS` are
   not kept.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final, assert_never

from codex_oss.agent import events as shown
from codex_oss.agent.journal import Answered, Said
from codex_oss.policy.deviation import INITIAL
from codex_oss.wire.events import (
    ArgumentsDelta,
    FunctionCallStart,
    ItemDone,
    ItemStarted,
    MessageStart,
    ReasoningDelta,
    ReasoningStart,
    TextDelta,
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    TurnIncomplete,
    TurnStarted,
    Usage,
    UsageReported,
)
from codex_oss.wire.items import FunctionCall, Message, ReasoningItem, TextPart
from codex_oss.wire.loose_json import clean_text

MAX_ANSWER_CHARS: Final = 2_000_000
MAX_ARGUMENT_CHARS: Final = 400_000
MAX_CALL_ID_CHARS: Final = 64
LEFT_OUT: Final = "{}"
"""What stands in the conversation for arguments that were too long to keep."""
CUT: Final = "stream_interrupted"
"""Code of an answer without an end, and of one whose lane says so."""
OVERFLOW: Final = "context_length_exceeded"
"""Code of a conversation that is longer than the model can read."""


@dataclass(slots=True)
class _Open:
    """An item under way."""

    start: MessageStart | ReasoningStart | FunctionCallStart
    parts: list[str] = field(default_factory=list)
    done: bool = False
    encrypted_content: str = ""

    @property
    def text(self) -> str:
        return clean_text("".join(self.parts))


class Answer:
    """Collects one answer.

    used: call ids of the session so far. told: what the person was last told of somebody else answering. fresh: it is
    the first answer of this process, whose lane does not know yet what was told.
    """

    def __init__(self, used: Collection[str] = (), *, seed: str = "call", told: str = "", fresh: bool = False) -> None:
        self.usage = Usage()
        self.started = TurnStarted()
        self.ended: TurnCompleted | TurnIncomplete | TurnFailed | None = None
        self.hint = ""
        self.left_out: set[str] = set()
        """Calls whose arguments were too long to keep."""
        self._items: dict[int, _Open] = {}
        self._used = set(used)
        self._seed = seed
        self._told = told
        self._fresh = fresh
        self._chars = 0

    def take(self, batch: Sequence[TurnEvent]) -> list[shown.AgentEvent]:
        """Go on by one batch; what a person is shown of it."""
        told: list[shown.AgentEvent] = []
        for event in batch:
            if self.ended is None:
                told += self._taken(event)
        return told

    def fail(self, code: str, message: str, hint: str = "") -> None:
        """It ended with an error that is no event of the lane."""
        self.ended, self.hint = TurnFailed(code, message), hint

    def close(self) -> TurnCompleted | TurnIncomplete | TurnFailed:
        """No more comes: without an end of its own the answer was cut. Returns how it ended."""
        if self.ended is None:
            self.ended = TurnFailed(CUT, "The answer ended before it was whole.")
        return self.ended

    @property
    def cut(self) -> bool:
        """Something was said, and then it failed."""
        return isinstance(self.ended, TurnFailed) and bool(self._chars)

    @property
    def overflowed(self) -> bool:
        """The model could not read the conversation, and nothing was said."""
        ended = self.ended
        return isinstance(ended, TurnFailed) and ended.code == OVERFLOW and not self._chars

    def record(self) -> Answered:
        """What is kept."""
        whole = isinstance(self.ended, TurnCompleted)
        items = [item for index in sorted(self._items) if (item := self._item(self._items[index], whole)) is not None]
        return Answered(tuple(items), self.usage, self.started.profile, self._deviation())

    def _deviation(self) -> str:
        """A lane tells a switch once and is then silent; only the first answer of a process says how it is."""
        if not self._fresh or self.started == TurnStarted():
            return self.started.deviation or self._told
        return self.started.deviation

    def _taken(self, event: TurnEvent) -> list[shown.AgentEvent]:
        match event:
            case TurnStarted():
                self.started = event
                known = self._fresh and event.deviation == self._told
                return [] if known and event.deviation else notices_of(event)
            case ItemStarted(index=index, item=MessageStart() | ReasoningStart() | FunctionCallStart() as start):
                self._items[index] = _Open(start)
            case TextDelta(index=index, text=text) if self._keep(index, text):
                return [shown.TextDelta(text)]
            case ReasoningDelta(index=index, text=text) if self._keep(index, text):
                return [shown.ReasoningDelta(text)]
            case ArgumentsDelta(index=index, text=text):
                self._keep(index, text)
            case ItemDone(index=index, encrypted_content=sealed) if index in self._items:
                item = self._items[index]
                item.done, item.encrypted_content = True, sealed
                if isinstance(item.start, MessageStart):
                    return [shown.TextEnded(item.start.phase or "")]
            case UsageReported(usage=usage):
                self.usage = usage
            case TurnCompleted() | TurnIncomplete() | TurnFailed():
                self.ended = event
            case _:
                pass  # limits and relayed frames are nothing for a person; other calls were not offered
        return []

    def _keep(self, index: int, text: str) -> bool:
        """Whether a delta belongs to an open item; then it is kept. Ends an answer that does not end by itself."""
        if index not in self._items:
            return False
        self._chars += len(text)
        if self._chars > MAX_ANSWER_CHARS:
            self.ended = TurnFailed("answer_too_long", f"The answer has more than {MAX_ANSWER_CHARS:,} characters.")
            return False
        self._items[index].parts.append(text)
        return True

    def _item(self, item: _Open, whole: bool) -> Said | None:
        match item.start:
            case MessageStart(phase=phase):
                return Message("assistant", (TextPart(item.text),), phase) if item.text else None
            case ReasoningStart():
                return ReasoningItem(item.text, encrypted_content=item.encrypted_content) if whole else None
            case FunctionCallStart() as start:
                return self._call(start, item) if whole and item.done else None
            case start:
                assert_never(start)

    def _call(self, start: FunctionCallStart, item: _Open) -> FunctionCall:
        wanted = clean_text(start.call_id)[:MAX_CALL_ID_CHARS]
        call_id, number = wanted, 0
        while not call_id or call_id in self._used:
            number += 1
            call_id = f"{self._seed}_{number}"[-MAX_CALL_ID_CHARS:]
        self._used.add(call_id)
        arguments = item.text
        if len(arguments) > MAX_ARGUMENT_CHARS:
            self.left_out.add(call_id)
            arguments = LEFT_OUT
        return FunctionCall(call_id, clean_text(start.name)[:MAX_CALL_ID_CHARS], arguments, start.namespace)


def notices_of(started: TurnStarted) -> list[shown.AgentEvent]:
    """What a person should know of who answers. The words of `policy.deviation` become a sentence, without its code."""
    said = dict(part.partition("=")[::2] for part in started.deviation.split("; "))
    if "account" in said:
        words = f"{said['account']} answers from here on, instead of {said.get('instead_of', 'another account')}."
        return [shown.Notice("account_switched", words)]
    if started.deviation:
        words = f"{said.get('answered', 'Another model')} answers instead of {said.get('asked', 'what was asked for')}."
        return [shown.Notice("model_replaced", words)]
    if started.reason != INITIAL:
        return [shown.Notice("retried", f"The answer came at attempt {started.attempts}.")]
    return []
