"""What the ChatGPT backend is sent: every rule as a row, and what holds for any body."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.wire.account_body import DEFAULT_INSTRUCTIONS, DROPPED, FIELDS, account_body
from codex_oss.wire.account_input import NO_OUTPUT, opened, own_seals, without_reasoning
from codex_oss.wire.responses_body import SEALED
from codex_oss.wire.seals import marked
from tests.fakes.chat_upstream import Request
from tests.fakes.chatgpt_backend import Turn, refusal_of_body, sealed_for

USER = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "done"}
SEAL = {"type": "reasoning", "summary": [], "encrypted_content": sealed_for("a")}
ANSWER = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "so"}]}


def sent(**fields: Any) -> dict[str, Any]:
    """The body that is sent for these fields."""
    return account_body({"model": "m", "instructions": "I", "input": [USER], **fields})[0]


def changed(**fields: Any) -> dict[str, str]:
    """What is said of the difference, by field."""
    _, changes = account_body({"model": "m", "instructions": "I", "input": [USER], **fields})
    return {change.field: change.action for change in changes}


@pytest.mark.parametrize("name", sorted(DROPPED))
def test_a_refused_field_is_dropped_and_said(name: str) -> None:
    """Each of them costs the whole turn (400 `Unsupported parameter`)."""
    assert name not in sent(**{name: 1})
    assert changed(**{name: 1})[name] == "dropped"


def test_what_is_forced() -> None:
    """Nothing is kept there, and it only streams."""
    assert (sent(store=True, stream=False)["store"], sent(stream=False)["stream"]) == (False, True)
    assert changed(store=True, stream=False).items() >= {("store", "forced"), ("stream", "forced")}
    assert "store" not in changed(store=False, stream=True)


@pytest.mark.parametrize(
    ("items", "instructions", "left"),
    [
        ([USER], DEFAULT_INSTRUCTIONS, 1),
        ([{"role": "system", "content": "S"}, USER], "S", 1),
        ([{"role": "developer", "content": [{"type": "input_text", "text": "D"}]}, USER], "D", 1),
        ([{"role": "developer", "content": [{"type": "input_image"}]}, USER], DEFAULT_INSTRUCTIONS, 2),
        ([{"role": "system", "content": "alone"}], DEFAULT_INSTRUCTIONS, 1),
    ],
)
def test_instructions_are_never_empty(items: list[Any], instructions: str, left: int) -> None:
    """Codex 0.169 says its own in the first developer message; a chat client in the system message."""
    body, _ = account_body({"model": "m", "input": items})
    assert body["instructions"] == instructions
    assert len(body["input"]) == left


@pytest.mark.parametrize(
    ("field", "given_", "kept"),
    [
        ("include", None, [SEALED]),
        ("include", ["x"], ["x", SEALED]),
        ("include", [SEALED], [SEALED]),
        ("service_tier", "auto", None),
        ("service_tier", "priority", "priority"),
        ("reasoning", {"effort": "high", "summary": "loud"}, {"effort": "high"}),
        ("reasoning", {"summary": "auto"}, {"summary": "auto"}),
        ("reasoning", {"summary": "none"}, None),
        ("tool_choice", "auto", None),
        ("prompt_cache_key", "k", "k"),
    ],
)
def test_what_is_converted(field: str, given_: Any, kept: Any) -> None:
    """Values that the backend does not take are left out, others stand."""
    assert sent(**{field: given_}).get(field) == kept


def test_the_conversation_is_the_cache_key() -> None:
    """Where the client names none."""
    assert account_body({"model": "m", "input": "x"}, conversation="conv")[0]["prompt_cache_key"] == "conv"


@pytest.mark.parametrize(
    ("items", "kept"),
    [
        ("text", [USER | {"content": [{"type": "input_text", "text": "text"}]}]),
        ([{**USER, "id": "msg_1"}], [USER]),
        ([{"type": "item_reference", "id": "x"}, USER], [USER]),
        ([USER, {"role": "system", "content": "S"}], [USER, {"role": "developer", "content": "S"}]),
        ([USER, CALL, OUTPUT], [USER, CALL, OUTPUT]),
        ([USER, CALL], [USER]),
        ([USER, OUTPUT], [USER, ANSWER | {"content": [{"type": "output_text", "text": "done"}]}]),
        (
            [USER, {**OUTPUT, "output": [{"type": "input_image"}]}],
            [USER, ANSWER | {"content": [{"type": "output_text", "text": NO_OUTPUT}]}],
        ),
        ([USER, SEAL, ANSWER], [USER, SEAL, ANSWER]),
        ([USER, SEAL, SEAL, CALL, OUTPUT], [USER, SEAL, SEAL, CALL, OUTPUT]),
        ([USER, {"type": "reasoning", "summary": []}, ANSWER], [USER, ANSWER]),
        ([USER, SEAL, USER], [USER, USER]),
        ([USER, SEAL, CALL], [USER]),
        ([USER, "junk", None, 3], [USER]),
    ],
)
def test_the_items(items: Any, kept: list[Any]) -> None:
    """Ids, references, system messages, halves of calls and reasoning that hangs in the air."""
    assert sent(input=items)["input"] == kept


def test_seals_go_to_their_owner_only() -> None:
    """Marked ones by their mark; what nobody marked goes along while it may."""
    items = [{**SEAL, "encrypted_content": marked("one", "gA")}, {**SEAL, "encrypted_content": "gB"}]

    def seals(owner: str | None, *, keep: bool) -> list[Any]:
        return [item.get("encrypted_content") for item in own_seals(items, owner, keep_unmarked=keep)]

    assert seals("one", keep=True) == ["gA", "gB"]
    assert seals("two", keep=True) == [None, "gB"]
    assert seals("two", keep=False) == [None, None]
    assert seals(None, keep=True) == ["gA", "gB"]
    assert without_reasoning([USER, SEAL]) == [USER]


def test_our_own_summaries_become_messages() -> None:
    """A compaction that this bridge sealed is text to the backend."""
    (item,) = opened([{"type": "compaction", "encrypted_content": "cxs1.x"}], {"cxs1.x": "the note"})
    assert item["role"] == "user"
    assert "the note" in item["content"][0]["text"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
IDS = st.sampled_from(["c1", "c2"]) | JSON
ITEMS = st.lists(
    st.sampled_from([USER, CALL, OUTPUT, SEAL, ANSWER, {"type": "item_reference", "id": "x"}])
    | st.fixed_dictionaries(
        {"type": st.sampled_from(["message", "function_call", "custom_tool_call", "function_call_output"]) | JSON},
        optional={
            "id": JSON,
            "role": st.sampled_from(["system", "user", "assistant"]) | JSON,
            "call_id": IDS,
            "content": JSON,
            "output": JSON,
            "encrypted_content": JSON,
        },
    )
    | JSON,
    max_size=8,
)
BODIES = st.fixed_dictionaries(
    {"model": st.just("m")},
    optional={
        "input": ITEMS | JSON,
        "instructions": JSON,
        **{name: JSON for name in (*FIELDS, *DROPPED) if name not in ("model", "input", "instructions")},
        "anything_else": JSON,
    },
)


@given(BODIES)
def test_twice_is_once(body: dict[str, Any]) -> None:
    """What was adapted is sent as it is, and the given body is never touched."""
    before = repr(body)
    once, _ = account_body(body, conversation="c")
    again, _ = account_body(once, conversation="c")
    assert again == once
    assert repr(body) == before


@given(BODIES)
def test_the_backend_takes_whatever_comes_out(body: dict[str, Any]) -> None:
    """No field that it refuses, nothing forced otherwise, no half of a call: the rude stand-in has no objection."""
    out, changes = account_body(body)
    assert list(out) == [name for name in FIELDS if name in out]
    assert {change.field for change in changes if change.action == "dropped"} >= {
        name for name, value in body.items() if name not in FIELDS and value is not None
    }
    owned = own_seals(out["input"], "a", keep_unmarked=False)
    told = account_body({**out, "input": [*owned, USER]})[0]
    request = Request("POST", "/", {}, b"", told)
    assert refusal_of_body(Turn("a", "", request)) is None
