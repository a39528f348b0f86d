"""What a conversation is called: the same from turn to turn, and always something that can be sent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from codex_oss.policy.conversation import SAFE, conversation_of
from codex_oss.wire.items import Message, TextPart, TurnRequest

FIRST = Message("user", (TextPart("the first question"),))


def request(*items: Message, **fields: str) -> TurnRequest:
    """A turn."""
    return TurnRequest("resp_1", "gpt-5.4", items or (FIRST,), **fields)  # type: ignore[arg-type]


def test_the_client_names_it() -> None:
    """By session and thread, else by its cache key."""
    told = conversation_of(request(session_id="s", thread_id="t", prompt_cache_key="k"))
    assert (told.session, told.thread, told.told) == ("s", "t", "s")
    told = conversation_of(request(prompt_cache_key="k"))
    assert (told.session, told.thread, told.told) == ("k", "k", "k")


def test_without_a_name_it_is_its_begin() -> None:
    """A longer conversation is the same one; it is not remembered as a session."""
    more = (Message("assistant", (TextPart("a"),)), Message("user", (TextPart("b"),)))
    system = Message("system", (TextPart("be terse"),))
    one = conversation_of(request(system, FIRST))
    two = conversation_of(request(system, FIRST, *more))
    assert one == two
    assert conversation_of(request(system, *more)) != one
    assert one.told == ""
    assert conversation_of(request(system, FIRST, instructions="other")) != one


@given(st.text(), st.text(), st.text())
def test_it_can_always_be_sent(session: str, thread: str, key: str) -> None:
    """As a header and as a cache key, whatever the client calls it."""
    told = conversation_of(request(session_id=session, thread_id=thread, prompt_cache_key=key))
    assert SAFE.fullmatch(told.session)
    assert SAFE.fullmatch(told.thread)
    assert told.told in ("", told.session)
