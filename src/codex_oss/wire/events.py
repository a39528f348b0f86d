"""`TurnEvent`, the one vocabulary of what streams while a turn runs, and `Lane`, the signature of all lanes.

Counterparts: `wire.chat_stream` and `wire.responses_upstream` make these events from upstream bytes,
`missions.commentary` from mission events; `wire.responses_stream` turns them into the frames a client reads.

    TurnStarted ─► ( ItemStarted ─► TextDelta* | ReasoningDelta* | ArgumentsDelta* ─► ItemDone )* ─►
                   ( UsageReported | LimitsReported )* ─► TurnCompleted | TurnIncomplete | TurnFailed

Rules that hold here:

1. `index` numbers the items of a turn from 0 and equals the place in the final `output`.
2. A lane may stop anywhere; the encoder closes what is open and ends the stream with one terminal event.
3. A batch is what one upstream read produced, and becomes one write to the client. Adjacent deltas of one item in it
   are one delta (`joined`; decision 0020).
4. A lane raises `BridgeError` only before its first event; afterwards a failure is `TurnFailed`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Any, Final, Literal, cast

from msgspec import Struct

from codex_oss.wire.items import TurnRequest

Phase = Literal["commentary", "final_answer"]


class MessageStart(Struct, frozen=True, gc=False):
    """A message item opens. phase None means that the upstream did not say."""

    phase: Phase | None = None


class ReasoningStart(Struct, frozen=True, gc=False):
    """A reasoning item opens; its deltas become summary text."""


class FunctionCallStart(Struct, frozen=True, gc=False):
    """A function call opens. namespace is restored from the request's tools."""

    call_id: str
    name: str
    namespace: str | None = None


class CustomCallStart(Struct, frozen=True, gc=False):
    """A freeform call opens; its `ArgumentsDelta` carry the unwrapped raw input."""

    call_id: str
    name: str
    namespace: str | None = None


class ToolSearchStart(Struct, frozen=True):
    """A search for tools, whole from the start: it has no deltas, because its arguments are a value and no text."""

    call_id: str
    arguments: dict[str, Any] = {}
    name: str = "tool_search"


class CompactionStart(Struct, frozen=True, gc=False):
    """A compaction opens, whole from the begin: half a sealed summary is none. sealed: what travels."""

    sealed: str


CallStart = FunctionCallStart | CustomCallStart | ToolSearchStart
ItemStart = MessageStart | ReasoningStart | CallStart | CompactionStart


class Usage(Struct, frozen=True, gc=False):
    """Tokens of the turn. Cached tokens are part of the input, reasoning tokens part of the output."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cached_known: bool = False
    """False when the upstream gave no cache figure; 0 then means unknown."""
    estimated: bool = False
    """True when the upstream reported nothing and the bridge counted roughly."""
    cache_write_tokens: int = 0
    """Part of the input that the upstream put into its cache; 0 when it did not say."""


class TurnStarted(Struct, frozen=True, gc=False):
    """The lane took the turn: somebody answers."""

    upstream_model: str = ""
    """What really answers, as the upstream calls it."""
    profile: str = ""
    """Name of the model profile that answers; empty in a lane without one."""
    reason: str = "initial_attempt"
    """Why this one answers; a stable code."""
    attempts: int = 1
    """Requests that were made for it, the answered one included."""
    queued_s: float = 0.0
    """What it waited for a free slot."""
    deviation: str = ""
    """What a client is told when somebody else answers than was asked for (`policy.deviation`); empty when not."""


class ItemStarted(Struct, frozen=True, gc=False):
    """An output item opens."""

    index: int
    item: ItemStart


class TextDelta(Struct, frozen=True, gc=False):
    """More text of an open message item."""

    index: int
    text: str


class ReasoningDelta(Struct, frozen=True, gc=False):
    """More summary text of an open reasoning item."""

    index: int
    text: str


class ArgumentsDelta(Struct, frozen=True, gc=False):
    """More arguments (or raw input) of an open call item."""

    index: int
    text: str


class ItemDone(Struct, frozen=True, gc=False):
    """An item is whole. The encoder knows its content from the deltas."""

    index: int
    encrypted_content: str = ""
    """Of a reasoning item: what its maker sealed and wants back with the next turn; marked by `wire.seals`."""


class Relayed(Struct, frozen=True, gc=False):
    """Whole SSE frames of an upstream that speaks the client's own protocol, written to the client as they are.

    Only an answer to a request with `untranslated` holds it; then it takes the place of all events of items. Decision
    0015. response: the response object in the frames; items: the output items that they complete.
    """

    frames: bytes
    response: dict[str, Any] | None = None
    items: tuple[dict[str, Any], ...] = ()


class UsageReported(Struct, frozen=True, gc=False):
    """The upstream told its token counts; the last one wins."""

    usage: Usage


class LimitsReported(Struct, frozen=True):
    """Rate-limit windows as an upstream reported them; not shown to clients yet."""

    limits: dict[str, str]


class TurnCompleted(Struct, frozen=True, gc=False):
    """Terminal: the turn is whole."""


class TurnIncomplete(Struct, frozen=True, gc=False):
    """Terminal: the model stopped early. A half-written call is never emitted as completed.

    cancelled: only the server says so, of a turn that nobody wants any more.
    """

    reason: Literal["max_output_tokens", "content_filter", "cancelled"]


class TurnFailed(Struct, frozen=True, gc=False):
    """Terminal: the turn failed. code is ours (`errors`), message is for the person."""

    code: str
    message: str


TurnEvent = (
    TurnStarted
    | ItemStarted
    | TextDelta
    | ReasoningDelta
    | ArgumentsDelta
    | ItemDone
    | Relayed
    | UsageReported
    | LimitsReported
    | TurnCompleted
    | TurnIncomplete
    | TurnFailed
)

DELTAS: Final = (TextDelta, ReasoningDelta, ArgumentsDelta)
"""What a turn mostly consists of."""

Lane = Callable[[TurnRequest], AsyncIterator[Sequence[TurnEvent]]]
"""A lane answers one turn. It is closed (`aclose`) when the client leaves, and must then free its upstream."""

DeltaSink = Callable[[Sequence[TurnEvent]], bool]
"""Takes a batch that is one delta and shows it at once. False: not now, it must be yielded like any other.

Who reads a lane may send one into it with each `asend`, for what comes next. A lane may hand deltas to it from wherever
they arise, which spares the way through the tasks, or take no notice.
"""

Batches = AsyncGenerator[Sequence[TurnEvent], DeltaSink | None]
"""The answer of a lane, as it is read."""


def joined(events: list[TurnEvent]) -> list[TurnEvent]:
    """The same batch with each run of adjacent deltas of one item as one delta; no other event is touched."""
    if len(events) < 2:
        return events
    out: list[TurnEvent] = []
    run: list[str] = []
    kind, index = None, -1
    for event in events:
        if not isinstance(event, DELTAS):
            kind = None
        elif type(event) is kind and event.index == index:
            run.append(event.text)
            continue
        else:
            kind, index = type(event), event.index
        if len(run) > 1:
            out[-1] = _longer(out[-1], run)
        run = [event.text] if isinstance(event, DELTAS) else []
        out.append(event)
    if len(run) > 1:
        out[-1] = _longer(out[-1], run)
    return out


def _longer(delta: TurnEvent, texts: list[str]) -> TurnEvent:
    assert isinstance(delta, DELTAS)
    return type(delta)(delta.index, "".join(texts))


def batches_of(lane: Lane, request: TurnRequest) -> Batches:
    """The answer of a lane as what it is: every lane is an async generator, and whoever reads it must close it."""
    return cast("Batches", lane(request))
