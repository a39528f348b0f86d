"""`truncation: auto`: the oldest go first, calls with their outputs, instructions and the last question never."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.contracts.profiles import ModelProfile
from codex_oss.policy.truncation import truncated
from codex_oss.wire.items import CompactionItem, FunctionCall, Item, Message, Role, TextPart, ToolOutput, TurnRequest

PROFILE = ModelProfile("kimi", "ocg-kimi", "kimi", "http://127.0.0.1:9/v1")


def small(tokens: int = 300) -> ModelProfile:
    """A model that reads little."""
    return msgspec.structs.replace(PROFILE, context_tokens=tokens)


def message(role: Role, text: str) -> Message:
    """One message."""
    return Message(role, (TextPart(text),))


def kept(items: Sequence[Item], tokens: int = 300) -> tuple[Item, ...]:
    """What is left of a turn."""
    return truncated(TurnRequest("resp_1", "ocg-kimi", tuple(items)), small(tokens)).items


def test_what_fits_is_left_alone() -> None:
    """The same object."""
    request = TurnRequest("resp_1", "ocg-kimi", (message("user", "hi"),))
    assert truncated(request, small()) is request


def test_the_oldest_go_first() -> None:
    """Until the rest fits; what is newer stays as it was."""
    items = [message("user", "a" * 700), message("assistant", "b" * 400), message("user", "c" * 400)]
    assert kept(items) == tuple(items[1:])


def test_instructions_and_summaries_stay() -> None:
    """Whatever their size and place."""
    system, summary = message("system", "s" * 900), CompactionItem("x", "y" * 300)
    items: list[Item] = [system, message("user", "a" * 400), summary, message("user", "b")]
    assert kept(items) == (system, summary, items[-1])


def test_calls_go_with_their_outputs() -> None:
    """An output without its call would be a riddle."""
    call, output = FunctionCall("c", "read", "{}"), ToolOutput("c", (TextPart("o" * 900),))
    items: list[Item] = [message("user", "a" * 500), call, message("assistant", "hm"), output, message("user", "b")]
    assert kept(items) == (items[2], items[4])


items_of = st.lists(
    st.one_of(
        st.builds(message, st.sampled_from(["user", "assistant", "system"]), st.text(max_size=300)),
        st.builds(FunctionCall, st.sampled_from("abc"), st.just("f"), st.text(max_size=100)),
        st.builds(lambda i, t: ToolOutput(i, (TextPart(t),)), st.sampled_from("abc"), st.text(max_size=300)),
    ),
    max_size=12,
)


@given(items_of, st.integers(1, 800))
def test_rules_for_any_conversation(items: list[Item], tokens: int) -> None:
    """What is left keeps its order, every instruction and everything from the last question on."""
    left = kept(items, tokens)
    places = iter(items)
    assert all(any(item is place for place in places) for item in left)
    assert [i for i in left if isinstance(i, Message) and i.role == "system"] == [
        i for i in items if isinstance(i, Message) and i.role == "system"
    ]
    users = [at for at, item in enumerate(items) if isinstance(item, Message) and item.role == "user"]
    if users:
        tail = items[users[-1] :]
        assert list(left[len(left) - len(tail) :]) == tail or any(isinstance(item, ToolOutput) for item in tail)
