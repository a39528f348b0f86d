"""Items of stored turns: ids, listing, pages, references and what a continuation sees."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.errors import InvalidRequest
from codex_oss.wire.stored_items import (
    TurnItems,
    history_of,
    listed_input,
    listed_items,
    new_items,
    page_of,
    referred_ids,
    response_id_of,
    retained,
    with_items,
)

ITEMS: list[dict[str, Any]] = [
    {"role": "user", "content": "hi"},
    {"type": "message", "role": "assistant", "content": "there", "id": "msg_own"},
    {"type": "function_call_output", "call_id": "c", "output": "x"},
    {"type": "compaction", "encrypted_content": "x"},
]


def test_listed_items_have_ids_types_and_parts() -> None:
    """An id that the client gave stays; the others are made from the response, the same each time."""
    listed = listed_items("resp_ab", ITEMS)
    assert [item["id"] for item in listed] == ["msg_ab_i0", "msg_own", "fco_ab_i2", "cmp_ab_i3"]
    assert listed[0]["content"] == [{"type": "input_text", "text": "hi"}]
    assert listed[1]["content"] == [{"type": "output_text", "text": "there", "annotations": []}]
    assert listed[0]["type"] == "message"
    assert listed == listed_items("resp_ab", ITEMS)
    assert ITEMS[0] == {"role": "user", "content": "hi"}


@pytest.mark.parametrize("item_id", ["msg_ab12_0", "rs_ab12_3", "fco_ab12_i14", "ctc_ab12_1"])
def test_our_ids_name_their_response(item_id: str) -> None:
    """Ids of the input and of the output lead back."""
    assert response_id_of(item_id) == "resp_ab12"


@pytest.mark.parametrize("item_id", ["", "msg_own", "msg__0", "resp_ab12", "msg_ab12_0\n", "msg_a/b_0", "MSG_a_0"])
def test_other_ids_name_none(item_id: str) -> None:
    """Whatever a client calls its items."""
    assert response_id_of(item_id) is None


@pytest.mark.parametrize(
    ("value", "items"),
    [("hi", [{"type": "message", "role": "user", "content": "hi"}]), (None, []), ([{"a": 1}], [{"a": 1}])],
)
def test_new_items(value: Any, items: list[Any]) -> None:
    """A string is one user message; nothing is nothing."""
    assert new_items({"input": value}) == items


def test_a_cut_call_is_not_continued() -> None:
    """A half-written call is shown by the response and left out of the history; cut text stays."""
    cut = {"type": "function_call", "status": "incomplete", "arguments": '{"a', "call_id": "c", "name": "n", "id": "f"}
    said = {"type": "message", "status": "incomplete", "role": "assistant", "content": [], "id": "m"}
    chain = [TurnItems("resp_1", ITEMS[:1], [said, cut]), TurnItems("resp_2", ITEMS[2:3], [])]
    assert history_of(chain) == [ITEMS[0], said, ITEMS[2]]
    assert [item["id"] for item in listed_input(chain)] == ["msg_1_i0", "m", "fco_2_i0"]


@given(st.integers(0, 60), st.integers(1, 100), st.sampled_from(["asc", "desc", None]))
def test_pages_together_are_the_list(count: int, limit: int, order: str | None) -> None:
    """Following `last_id` while `has_more` gives each item once, in order."""
    items = [{"id": f"i{number}"} for number in range(count)]
    seen: list[dict[str, Any]] = []
    after = None
    while True:
        page = page_of(items, limit=str(limit), order=order, after=after)
        assert len(page["data"]) <= limit
        seen += page["data"]
        after = page["last_id"]
        if not page["has_more"]:
            break
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
    assert seen == (items if order == "asc" else items[::-1])


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": "²"}, "limit"),
        ({"limit": "9" * 5000}, "limit"),
        ({"order": "up"}, "order"),
        ({"after": "nothing"}, "after"),
    ],
)
def test_unusable_queries(query: dict[str, str], param: str) -> None:
    """Each is refused with its name."""
    with pytest.raises(InvalidRequest) as caught:
        page_of([{"id": "a"}], **{"limit": None, "order": None, "after": None, **query})
    assert caught.value.param == param


def test_references() -> None:
    """A reference is replaced by its item, wherever its type is written or not; an unknown one stays."""
    items: list[Any] = [{"type": "item_reference", "id": "a"}, {"id": "b"}, {"role": "user", "id": "a"}, 7, {"id": "z"}]
    assert referred_ids(items) == ["a", "b", "z"]
    found = {"a": {"type": "x"}, "b": {"type": "y"}}
    assert with_items(items, found) == [{"type": "x"}, {"type": "y"}, items[2], 7, {"id": "z"}]


def test_a_compaction_stands_for_what_was_before() -> None:
    """Behind a turn that compacted: who told what, the sealed summary, and nothing of the older answers."""
    system = {"role": "developer", "content": "be brief"}
    asked = {"role": "user", "content": "one"}
    call = {"type": "function_call", "call_id": "c", "name": "n", "arguments": "{}"}
    tools = {"type": "additional_tools", "role": "developer", "tools": []}
    sealed = {"type": "compaction", "id": "cmp_1", "encrypted_content": "x"}
    first = TurnItems("resp_1", [system, tools, asked], [{"type": "reasoning"}, call])
    second = TurnItems("resp_2", [{"type": "compaction_trigger"}], [sealed])
    assert history_of([first, second]) == [system, tools, asked, sealed]
    third = TurnItems("resp_3", [{"role": "user", "content": "two"}], [])
    assert history_of([first, second, third])[-2:] == [sealed, third.items[0]]


def test_of_many_user_messages_the_newest_are_retained() -> None:
    """Within the bound, in their order; instructions whatever their size."""
    said = [{"role": "user", "content": f"{number}" * 100} for number in range(9)]
    told = {"role": "system", "content": "s" * 5000}
    assert retained([told, *said], 400) == [told, *said[-3:]]
    assert retained([*said, {"role": "assistant", "content": "a"}]) == said
