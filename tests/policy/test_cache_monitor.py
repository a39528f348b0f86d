"""The cache monitor: silent while a conversation only grows, one named warning after two bad steps, bounded memory."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.policy.cache_monitor import CAUSES, EXPECTED, TTL_S, CacheMonitor, Identity, Turn, Verdict
from codex_oss.policy.prompt_prefix import prefix_of
from codex_oss.wire.events import Usage
from codex_oss.wire.items import (
    CustomToolCall,
    FunctionCall,
    FunctionTool,
    ImagePart,
    Item,
    Message,
    OpaqueItem,
    ReasoningItem,
    TextPart,
    ToolOutput,
    TurnRequest,
)

TOOLS = tuple(FunctionTool(name, "Does it.", {"type": "object", "properties": {}}) for name in ("read", "write", "run"))
CODEX = Identity(session="s1", thread="t1", cache_key="s1", window=0)
BASE = (Message("developer", (TextPart("Be good."),)), Message("user", (TextPart("<environment/>"),)))

_items: st.SearchStrategy[Item] = st.one_of(
    st.builds(Message, st.sampled_from(["user", "assistant"]), st.tuples(st.builds(TextPart, st.text(max_size=4)))),
    st.builds(FunctionCall, st.text(max_size=3), st.just("read"), st.just("{}")),
    st.builds(CustomToolCall, st.text(max_size=3), st.just("run"), st.text(max_size=4)),
    st.builds(ToolOutput, st.text(max_size=3), st.just((ImagePart("data:image/png;base64,AA"),))),
    st.builds(ReasoningItem, st.text(max_size=4)),
    st.builds(OpaqueItem, st.just("web_search_call"), st.dictionaries(st.text(max_size=2), st.text(max_size=2))),
)


@dataclass
class Chat:
    """One conversation that tells the monitor its turns."""

    monitor: CacheMonitor = field(default_factory=CacheMonitor)
    identity: Identity = CODEX
    items: tuple[Item, ...] = BASE
    tools: tuple[FunctionTool, ...] = TOOLS
    instructions: str = ""
    model: str = "ocg-kimi"
    upstream: str = "kimi"
    at_s: float = 0.0
    tokens: int = 2000

    def turn(self, *, cached: int | None = -1, after_s: float = 5.0, **more: Any) -> Verdict:
        """One more turn. cached: tokens that the upstream reports; -1: as good as can be; None: it does not say."""
        before, self.tokens = self.tokens, self.tokens + 500
        self.at_s += after_s
        self.items = (*self.items, Message("user", (TextPart(f"turn at {self.at_s}"),)))
        usage = Usage(self.tokens, 10, before if cached == -1 else cached or 0, cached_known=cached is not None)
        request = TurnRequest("resp_1", self.model, self.items, tools=self.tools, instructions=self.instructions)
        return self.monitor.take(
            Turn(self.identity, self.model, self.upstream, prefix_of(request), usage, self.at_s, **more)
        )

    def causes(self, *turns: Verdict) -> list[str]:
        """The causes of the warnings among these."""
        return [verdict.warning.cause for verdict in turns if verdict.warning]


@given(st.lists(st.lists(_items, max_size=5), max_size=8), st.booleans(), st.integers(0, 3))
def test_a_conversation_that_only_grows_never_warns(rounds: list[list[Item]], known: bool, sessions: int) -> None:
    """Whatever is appended, and whether or not the upstream reports its cache: every later turn is ok."""
    chat = Chat(identity=Identity(session="s" * (sessions > 1), thread="t" * (sessions > 0), cache_key="k"))
    assert chat.turn(cached=0).cause == "first_turn"
    for added in rounds:
        chat.items = (*chat.items, *added)
        assert chat.turn(cached=-1 if known else None) == Verdict("ok")
    assert chat.monitor.facts.warnings == ()


@given(st.data())
def test_ids_phases_and_ciphertexts_are_no_change(data: st.DataObject) -> None:
    """What no upstream reads may change from turn to turn."""
    items = data.draw(st.lists(_items, min_size=1, max_size=6))
    renamed = [
        msgspec.structs.replace(item, **{name: "other" for name in ("id", "phase") if name in item.__struct_fields__})
        for item in items
    ]
    first, second = (prefix_of(TurnRequest("r", "m", tuple(each))) for each in (items, renamed))
    assert first.items == second.items


def _swap_tools(chat: Chat) -> None:
    chat.tools = (*chat.tools[1:], chat.tools[0])


def _swap_instructions(chat: Chat) -> None:
    chat.instructions += "It is five past nine."


def _swap_developer(chat: Chat) -> None:
    chat.items = (Message("developer", (TextPart(f"It is {chat.at_s}."),)), *chat.items[1:])


def _swap_first(chat: Chat) -> None:
    chat.items = (chat.items[0], Message("user", (TextPart(f"<environment at={chat.at_s}/>"),)), *chat.items[2:])


def _swap_middle(chat: Chat) -> None:
    chat.items = (*chat.items[:7], Message("user", (TextPart(f"[cut at {chat.at_s}]"),)), *chat.items[8:])


def _swap_key(chat: Chat) -> None:
    chat.identity = msgspec.structs.replace(chat.identity, cache_key=f"k{chat.at_s}")


def _swap_session(chat: Chat) -> None:
    chat.identity = msgspec.structs.replace(chat.identity, session=f"s{chat.at_s}")


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (_swap_tools, "tools_changed"),
        (_swap_instructions, "instructions_changed"),
        (_swap_developer, "instructions_changed"),
        (_swap_first, "first_items_changed"),
        (_swap_middle, "history_rewritten"),
        (_swap_key, "identity_changed"),
        (_swap_session, "identity_changed"),
    ],
)
def test_what_changes_twice_is_named_once(change: Callable[[Chat], None], cause: str) -> None:
    """Once is no warning; twice in a row is one, and a third time none; after a good turn the next pair warns again."""
    chat = Chat()
    for _ in range(8):
        chat.turn()
    for _ in range(2):
        seen = []
        for _ in range(3):
            change(chat)
            seen.append(chat.turn(cached=0))
        assert [(verdict.state, verdict.cause) for verdict in seen] == [("bad", cause)] * 3
        assert [bool(verdict.warning) for verdict in seen] == [False, True, False]
        assert chat.turn() == Verdict("ok")
    assert chat.monitor.facts.counts == {cause: 2}
    assert {warning.thread for warning in chat.monitor.facts.warnings} == {"t1"}


def test_one_bad_step_alone_never_warns() -> None:
    """Bad, good, bad, good: nothing is said."""
    chat = Chat()
    assert chat.causes(*(chat.turn(cached=-1 if number % 2 else 0) for number in range(10))) == []


def test_a_dropped_cache_is_named() -> None:
    """The conversation only grew, but twice in a row less than half of the last prompt was cached."""
    chat = Chat()
    verdicts = [chat.turn(cached=0), chat.turn(), chat.turn(cached=100), chat.turn(cached=0)]
    assert [verdict.state for verdict in verdicts] == ["expected", "ok", "bad", "bad"]
    assert chat.causes(*verdicts) == ["cache_dropped"]


@pytest.mark.parametrize("cached", [None, 0])
def test_silence_and_short_prompts_never_alarm(cached: int | None) -> None:
    """An upstream without cache figures is not measured, and short prompts are not expected to be cached."""
    chat = Chat(tokens=2000 if cached is None else -4000)
    assert [chat.turn(cached=cached).state for _ in range(8)] == ["expected", *["ok"] * 7]
    assert chat.monitor.facts.warnings == ()


def test_much_new_text_is_no_drop() -> None:
    """A huge tool output lowers cached/input, not the part of the last prompt that was cached."""
    chat = Chat()
    for _ in range(4):
        before, chat.tokens = chat.tokens, chat.tokens * 10
        assert chat.turn(cached=before).warning is None


def test_what_must_cost_the_cache_is_expected() -> None:
    """Compaction, idling, another model and another upstream are told as such and never warn, twice in a row or not."""
    chat = Chat()
    chat.turn()
    seen: list[Verdict] = []
    for number in (1, 2, 3):
        chat.items = (*BASE, Message("user", (TextPart(f"Summary {number}."),)))
        chat.identity = msgspec.structs.replace(CODEX, window=number)
        seen.append(chat.turn(cached=0))
    seen += (chat.turn(cached=0, after_s=TTL_S + 1) for _ in range(3))
    for name in ("a", "b", "c"):
        chat.upstream = name
        seen.append(chat.turn(cached=0))
    chat.model = "ocg-glm"
    seen.append(chat.turn(cached=0))
    causes = [*["compaction"] * 3, *["idle"] * 3, *["upstream_switched"] * 3, "model_switched"]
    assert [(verdict.state, verdict.cause) for verdict in seen] == [("expected", cause) for cause in causes]
    assert {"first_turn", *causes} == set(EXPECTED)


def test_a_turn_that_compacts_leaves_no_trace() -> None:
    """Codex sends it without tools; the turn after it is compared with the one before."""
    chat = Chat()
    chat.turn()
    kept = chat.items
    chat.tools = ()
    assert chat.turn(compacts=True, cached=0).cause == "compaction"
    chat.tools, chat.items = TOOLS, kept
    assert chat.turn() == Verdict("ok")


def test_a_retried_or_edited_last_message_is_no_change() -> None:
    """The tail that stood in one prompt only may be replaced, in the first turn too."""
    chat = Chat()
    for _ in range(3):
        chat.turn()
        chat.items = chat.items[:-1]
    chat.turn()
    assert chat.monitor.facts.steps == {"expected": 1, "ok": 3}


def test_a_client_without_identity_is_told_once() -> None:
    """The series is derived from what stays the same; the same question asked again is no conversation."""
    chat = Chat(identity=Identity())
    seen = [chat.turn() for _ in range(10)]
    assert chat.causes(*seen) == ["identity_missing"]
    asked = Chat(identity=Identity())
    for _ in range(10):
        asked.items = BASE
        assert asked.turn().warning is None


def test_children_do_not_disturb_their_parent() -> None:
    """Codex gives its children the parent's cache key and session; their threads are their own."""
    monitor = CacheMonitor()
    parent, child = Chat(monitor), Chat(monitor, msgspec.structs.replace(CODEX, thread="t2"), tools=TOOLS[:1])
    for _ in range(5):
        parent.turn()
        child.turn()
    assert monitor.facts.warnings == ()


def test_memory_is_bounded() -> None:
    """The least recently used series goes; the kept warnings have an end too."""
    monitor = CacheMonitor(max_series=8)
    order = [f"t{number}" for number in range(200)]
    random.Random(1).shuffle(order)
    for thread in order:
        chat = Chat(monitor, msgspec.structs.replace(CODEX, thread=thread))
        for _ in range(3):
            _swap_tools(chat)
            chat.turn()
    assert len(monitor) == 8
    assert len(monitor.facts.warnings) == 20
    assert monitor.facts.counts == {"tools_changed": 200}


def test_the_ratio_of_a_model_counts_only_what_is_known() -> None:
    """Turns of an upstream without figures are not in the ratio."""
    chat = Chat()
    chat.turn(cached=None)
    chat.turn(cached=1500)
    known = chat.monitor.facts.models["ocg-kimi"]
    assert (known.cached_tokens, known.input_tokens, known.ratio) == (1500, 3000, 0.5)


def test_every_cause_is_explained() -> None:
    """What a verdict may name has words."""
    assert not CAUSES.keys() & EXPECTED.keys()
    assert all(len(words) > 10 for words in (*CAUSES.values(), *EXPECTED.values()))
