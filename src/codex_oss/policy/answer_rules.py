"""What a request demands of its answer beyond the words: a tool or none, one call at most, JSON that fits.

Counterparts: `lanes.checked` runs an answer through here and asks a second time; `policy.json_answer` judges JSON.

    TurnEvent ─► take ─┬─ shown as it came, renumbered
                       ├─ held: text that may turn out not to be what was asked for
                       ├─ dropped: calls that the request does not allow
                       └─ at the end: released, or a Violation with advice for a second try

Rules that hold here:

1. A call that the request does not allow never reaches the client: not of another tool than those allowed, not with
   `tool_choice: none`, not a second one with `parallel_tool_calls: false`. An answer of nothing else is a violation.
   Without a choice nothing is dropped: clients answer a call to an unknown tool with an error that the model reads.
2. Text is held back where it may have to be taken back: while a demanded call has not come, and while JSON has not
   been judged. Reasoning is shown as it comes. A call releases the text before it: that is commentary.
3. JSON is demanded of an answer without calls only: Codex sends its output schema with each request of a turn.
4. An answer cut by its length keeps its held text as an incomplete message; one that failed loses it, because the
   client may ask again.
Source: Open Responses 2026-04-24, `allowed_tools`; OpenAI API reference "structured outputs".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct, structs

from codex_oss.policy.json_answer import JsonJudge
from codex_oss.wire.chat_tools import flat_name
from codex_oss.wire.events import (
    ArgumentsDelta,
    CallStart,
    CustomCallStart,
    FunctionCallStart,
    ItemDone,
    ItemStarted,
    MessageStart,
    ReasoningDelta,
    TextDelta,
    ToolSearchStart,
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    TurnIncomplete,
    TurnStarted,
    Usage,
    UsageReported,
)
from codex_oss.wire.items import Message, TextPart, TurnRequest

_DELTAS: Final = (TextDelta, ArgumentsDelta, ReasoningDelta)
_CALLS: Final = (FunctionCallStart, CustomCallStart, ToolSearchStart)


class AnswerRules(Struct, frozen=True):
    """The demands of one request."""

    allowed: frozenset[str] | None = None
    """Names of the tools that may be called, as the client has them; None where nothing is said."""
    must_call: bool = False
    one_call: bool = False
    json: Literal["no", "wanted", "strict"] = "no"
    """strict: an answer that does not fit is a failure; wanted: it is shown all the same, after a second try."""


class Violation(Struct, frozen=True):
    """What an answer broke. problem: for the client, without any word of the answer. advice: for the model."""

    problem: str
    advice: str


def rules_of(request: TurnRequest, *, honours_format: bool) -> AnswerRules | None:
    """Return the demands of *request*; None when there are none, which is nearly always.

    honours_format: the model's server makes answers fit the format; then only a strict one is judged here too.
    """
    choice, form = request.tool_choice, request.text_format
    allowed = frozenset(choice.names) if choice.names else frozenset[str]() if choice.mode == "none" else None
    json: Literal["no", "wanted", "strict"] = "no"
    if form.kind == "json_schema" and form.strict:
        json = "strict"
    elif form.kind != "text" and not honours_format:
        json = "wanted"
    # Without tools nothing can be called: they may all have been hosted ones, which are left out.
    must_call = bool(request.tools) and choice.mode in ("required", "named")
    rules = AnswerRules(allowed, must_call, bool(request.tools) and not request.parallel_tool_calls, json)
    return None if rules == AnswerRules() else rules


class _Held(Struct):
    index: int
    start: MessageStart
    texts: list[str]
    done: bool = False


class CheckedAnswer:
    """One answer on its way to the client.

    judge: for JSON; None where none is demanded. first_index: items of an earlier try that the client has seen.
    last: what is only wanted is shown now as it is. spent: tokens of an earlier try.
    """

    def __init__(
        self,
        rules: AnswerRules,
        judge: JsonJudge | None,
        *,
        first_index: int = 0,
        last: bool = False,
        spent: Usage | None = None,
    ) -> None:
        self.violation: Violation | None = None
        self.said = ""
        """The text that was held and not accepted, for the second try."""
        self.dropped: list[str] = []
        """Names of the calls that were dropped."""
        self.ended = False
        self.next_index = first_index
        self.usage = spent
        self._spent = spent
        self._rules = rules
        self._judge = judge
        self._last = last
        self._again = spent is not None or first_index > 0 or last
        self._shown: dict[int, int] = {}
        self._ignored: set[int] = set()
        self._held: list[_Held] = []
        self._calls = 0
        self._said_something = False

    def take(self, events: Sequence[TurnEvent]) -> list[TurnEvent]:
        """Take one batch; return what the client sees of it."""
        out: list[TurnEvent] = []
        for event in events:
            # Deltas of what is shown in its own place first: nearly all events are such.
            if isinstance(event, _DELTAS) and self._shown.get(event.index) == event.index:
                out.append(event)
                continue
            match event:
                case TextDelta(index, text) | ArgumentsDelta(index, text) | ReasoningDelta(index, text):
                    self._take_delta(event, index, text, out)
                case ItemStarted(index, start):
                    self._take_start(index, start, out)
                case ItemDone(index):
                    self._take_done(index, out)
                case UsageReported(usage):
                    self.usage = usage if self._spent is None else added(self._spent, usage)
                case TurnCompleted() | TurnIncomplete() | TurnFailed():
                    self._end(event, out)
                case TurnStarted() if self._again:
                    pass
                case _:
                    out.append(event)
        return out

    def _take_start(self, index: int, start: object, out: list[TurnEvent]) -> None:
        if isinstance(start, _CALLS):
            if not self._allows(start):
                self.dropped.append(start.name)
                self._ignored.add(index)
                return
            self._calls += 1
            self._release(out)
        elif isinstance(start, MessageStart) and self._holds():
            self._held.append(_Held(index, start, []))
            return
        elif isinstance(start, MessageStart):
            self._said_something = True
        self._show(index, start, out)

    def _allows(self, start: CallStart) -> bool:
        if self._rules.one_call and self._calls:
            return False
        allowed = self._rules.allowed
        if allowed is None:
            return True
        namespace = None if isinstance(start, ToolSearchStart) else start.namespace
        return start.name in allowed or flat_name(namespace, start.name) in allowed

    def _holds(self) -> bool:
        return not self._calls and (self._rules.must_call or self._rules.json != "no")

    def _take_delta(
        self, event: TextDelta | ArgumentsDelta | ReasoningDelta, index: int, text: str, out: list[TurnEvent]
    ) -> None:
        if index in self._ignored:
            return
        held = self._held_at(index)
        if held is not None:
            held.texts.append(text)
            return
        shown = self._shown[index]
        out.append(event if shown == index else type(event)(shown, text))

    def _take_done(self, index: int, out: list[TurnEvent]) -> None:
        if index in self._ignored:
            return
        held = self._held_at(index)
        if held is None:
            out.append(ItemDone(self._shown[index]))
        else:
            held.done = True

    def _held_at(self, index: int) -> _Held | None:
        return next((held for held in self._held if held.index == index), None)

    def _show(self, index: int, start: object, out: list[TurnEvent]) -> None:
        self._shown[index] = self.next_index
        out.append(ItemStarted(self.next_index, start))  # type: ignore[arg-type]
        self.next_index += 1

    def _release(self, out: list[TurnEvent], *, text: str | None = None) -> None:
        """Show what was held. text: instead of what it says."""
        for held in self._held:
            self._said_something = True
            self._show(held.index, held.start, out)
            at = self._shown[held.index]
            out.append(TextDelta(at, "".join(held.texts) if text is None else text))
            if held.done:
                out.append(ItemDone(at))
        self._held.clear()

    def _end(self, event: TurnCompleted | TurnIncomplete | TurnFailed, out: list[TurnEvent]) -> None:
        self.ended = True
        if isinstance(event, TurnCompleted):
            self.violation = self._judged(out)
            if self.violation is not None:
                return
        elif isinstance(event, TurnIncomplete):
            for held in self._held:
                held.done = False
            self._release(out)
        if self.usage is not None:
            out.append(UsageReported(self.usage))
        out.append(event)

    def _judged(self, out: list[TurnEvent]) -> Violation | None:
        """Judge a whole answer: release what was held, or say what is wrong."""
        if self._calls:
            self._release(out)
            return None
        self.said = "\n\n".join("".join(held.texts) for held in self._held)
        if self._rules.must_call:
            return _NO_CALL
        if self._judge is not None:
            if not self._held:
                return _NO_JSON
            found = self._judge.find(self.said)
            if found.problem and not (self._last and self._rules.json == "wanted"):
                return Violation(
                    f"The model's answer does not fit the format that was asked for: {found.problem}.",
                    f"Your answer was not accepted: {found.advice}. {_JSON_ONLY}",
                )
            first = self._held[0]
            self._held = [_Held(first.index, first.start, [], done=True)]
            self._release(out, text=self.said if found.problem else found.text)
            return None
        self._release(out)
        return _ONLY_DROPPED if self.dropped and not self._said_something else None


_JSON_ONLY: Final = (
    "Answer again with one JSON value in the demanded form and nothing else: no prose around it, no code fence."
)
_NO_CALL: Final = Violation(
    "The model did not call a tool although the request demands it.",
    "You must call a tool now. Answer with the call of one of the tools that you may use.",
)
_NO_JSON: Final = Violation(
    "The model's answer does not fit the format that was asked for: it holds no text.",
    f"Your answer was not accepted: it holds no text. {_JSON_ONLY}",
)
_ONLY_DROPPED: Final = Violation(
    "The model called only tools that the request does not allow.",
    "That tool cannot be used now. Answer without it.",
)


def with_advice(request: TurnRequest, answer: CheckedAnswer) -> TurnRequest:
    """Return the request of the second try: the same, then what the model said and what was wrong with it."""
    assert answer.violation is not None
    said = (Message("assistant", (TextPart(answer.said),)),) if answer.said.strip() else ()
    told = Message("user", (TextPart(answer.violation.advice),))
    return structs.replace(request, items=(*request.items, *said, told))


def added(first: Usage, second: Usage) -> Usage:
    """Add the tokens of two requests; a figure is known when both know it, and estimated when one is."""
    values: dict[str, int | bool] = {}
    for name in Usage.__struct_fields__:
        one, other = getattr(first, name), getattr(second, name)
        if isinstance(one, bool):
            values[name] = (one or other) if name == "estimated" else (one and other)
        else:
            values[name] = one + other
    return Usage(**values)  # type: ignore[arg-type]
