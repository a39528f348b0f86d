"""What a chat shows, as a fold of the agent's events: a list of blocks that grows at its end.

Counterparts: `agent.events` is what comes in, `tui.chat_blocks` draws a block, `tui.chat_view` places them.

    prompt ─► you · TextDelta ─► assistant · ReasoningDelta ─► reasoning · Tool… ─► tool · Notice ─► notice
    TurnEnded ─► end, unless all is done

Rules that hold here:

1. Any order of events is shown and nothing is raised: an outcome without a proposal gets a block of its own.
2. A block stays small (MAX_CHARS): a long answer is several of them, so that one more word never costs a whole answer.
3. When a turn ends no tool is left as if it still ran.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct, structs

from codex_oss.agent.events import (
    AgentEvent,
    Notice,
    Proposal,
    ReasoningDelta,
    TextDelta,
    TextEnded,
    ToolApproved,
    ToolFinished,
    ToolProposed,
    ToolRefused,
    TurnEnded,
    UsageTold,
)
from codex_oss.agent.rendering import one_line
from codex_oss.wire.events import Usage
from codex_oss.wire.items import FunctionCall, Item, Message, ReasoningItem, TextPart, ToolOutput

MAX_CHARS: Final = 4000
Kind = Literal["you", "assistant", "reasoning", "tool", "notice", "end"]
State = Literal["", "proposed", "asks", "running", "done", "failed", "refused", "cut off"]
UNDER_WAY: Final = ("proposed", "asks", "running")


class Block(Struct, frozen=True):
    """One piece of the conversation. text: of a tool its output. summary: of a tool, what came of it."""

    kind: Kind
    text: str = ""
    state: State = ""
    proposal: Proposal | None = None
    summary: str = ""
    duration_ms: int = 0
    continued: bool = False
    """It goes on where the block before it was full."""


class ChatLog:
    """The blocks so far. Whoever shows them asks `take_changed` which to draw anew."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.usage = Usage()
        """The sum over all answers that were seen."""
        self._changed: set[int] = set()
        self._open: Literal["", "assistant", "reasoning"] = ""

    def prompt(self, text: str) -> None:
        """The person asked."""
        self._add(Block("you", text))

    def past(self, items: Iterable[Item]) -> None:
        """What was said in earlier turns."""
        for item in items:
            match item:
                case Message(role="user", parts=parts):
                    self._add(Block("you", _text(parts)))
                case Message(role="assistant", parts=parts):
                    self._add(Block("assistant", _text(parts)))
                case FunctionCall(call_id=call_id, name=name, arguments=arguments):
                    summary = one_line(f"{name} {arguments}")
                    self._add(Block("tool", state="cut off", proposal=Proposal(call_id, name, summary, asks=False)))
                case ToolOutput(call_id=call_id, parts=parts):
                    self._settle(call_id, "done", text=_text(parts))
                case ReasoningItem(summary=summary, text=text) if summary or text:
                    self._add(Block("reasoning", summary or text))
                case _:
                    pass

    def take(self, event: AgentEvent) -> None:
        """Go on by one event."""
        match event:
            case TextDelta(text=text):
                self._grow("assistant", text)
            case ReasoningDelta(text=text):
                self._grow("reasoning", text)
            case TextEnded():
                self._open = ""
            case ToolProposed(proposal=proposal):
                self._add(Block("tool", state="asks" if proposal.asks else "proposed", proposal=proposal))
            case ToolApproved(call_id=call_id):
                self._settle(call_id, "running")
            case ToolRefused(call_id=call_id, reason=reason):
                self._settle(call_id, "refused", summary=reason)
            case ToolFinished(call_id=call_id, ok=ok, summary=summary, output=output, duration_ms=took_ms):
                self._settle(call_id, "done" if ok else "failed", summary=summary, text=output, duration_ms=took_ms)
            case Notice(text=text):
                self._add(Block("notice", text))
            case UsageTold(usage=usage):
                self.usage = added(self.usage, usage)
            case TurnEnded():
                self._end(event)

    def take_changed(self) -> list[int]:
        """The places of blocks that are new or differ since the last time, in order."""
        changed, self._changed = sorted(self._changed), set()
        return changed

    def draw_all(self) -> None:
        """Have every block drawn anew."""
        self._changed = set(range(len(self.blocks)))

    def _add(self, block: Block) -> None:
        self._open = ""
        self._changed.add(len(self.blocks))
        self.blocks.append(block)

    def _replace(self, at: int, block: Block) -> None:
        self.blocks[at] = block
        self._changed.add(at)

    def _grow(self, kind: Literal["assistant", "reasoning"], text: str) -> None:
        if self._open != kind:
            self._add(Block(kind))
            self._open = kind
        last = len(self.blocks) - 1
        block = self.blocks[last]
        grown = block.text + text
        while len(grown) > MAX_CHARS:
            # At the end of a line, so that nobody sees that these are two.
            cut = grown.rfind("\n", 0, MAX_CHARS) + 1 or MAX_CHARS
            self._replace(last, structs.replace(block, text=grown[:cut].removesuffix("\n")))
            block, grown, last = Block(kind, continued=True), grown[cut:], last + 1
            self.blocks.append(block)
        self._replace(last, structs.replace(block, text=grown))

    def _settle(self, call_id: str, state: State, *, text: str = "", summary: str = "", duration_ms: int = 0) -> None:
        known = (at for at in range(len(self.blocks) - 1, -1, -1) if _is_call(self.blocks[at], call_id))
        at = next(known, -1)
        if at < 0:
            self._add(Block("tool", proposal=Proposal(call_id, "", "a tool", asks=False)))
            at = len(self.blocks) - 1
        settled = structs.replace(self.blocks[at], state=state, text=text, summary=summary, duration_ms=duration_ms)
        self._replace(at, settled)

    def _end(self, event: TurnEnded) -> None:
        for at, block in enumerate(self.blocks):
            if block.state in UNDER_WAY:
                self._replace(at, structs.replace(block, state="cut off"))
        self._open = ""
        if event.outcome != "done":
            words = event.message or f"The turn ended: {event.outcome}."
            self._add(Block("end", f"{words} {event.hint}".strip()))


def added(one: Usage, other: Usage) -> Usage:
    """The tokens of both."""
    return Usage(
        one.input_tokens + other.input_tokens,
        one.output_tokens + other.output_tokens,
        one.cached_tokens + other.cached_tokens,
        one.reasoning_tokens + other.reasoning_tokens,
        one.cached_known or other.cached_known,
        one.estimated or other.estimated,
    )


def _is_call(block: Block, call_id: str) -> bool:
    return block.proposal is not None and block.proposal.call_id == call_id


def _text(parts: Iterable[object]) -> str:
    return "\n".join(part.text for part in parts if isinstance(part, TextPart))
