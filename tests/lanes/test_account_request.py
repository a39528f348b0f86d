"""What a request with an account carries: its token, the conversation, and an honest word on who asks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from codex_oss import __version__
from codex_oss.accounts.account import Account, Credential
from codex_oss.contracts.profiles import raw_profile
from codex_oss.lanes.account_request import Ask, body_of, request_headers, seal_owner
from codex_oss.policy.conversation import Conversation, conversation_of
from codex_oss.wire.items import CompactionItem, Message, TextPart, TurnRequest
from codex_oss.wire.seals import marked

ACCOUNT = Account(key="k", account_id="acc", email="a@b", credential=Credential(1, 1, "the-token", "rt"))
PROFILE = raw_profile("gpt-5.4", "gpt-5.4", "")
USER = {"type": "message", "role": "user", "content": "hi"}


def test_the_headers() -> None:
    """These and no others."""
    headers = request_headers(ACCOUNT, Conversation("s", "t"), "codex-oss")
    assert headers == {
        "Authorization": "Bearer the-token",
        "ChatGPT-Account-Id": "acc",
        "Content-Type": "application/json",
        "Accept": "text/event-stream",
        "Accept-Encoding": "identity",
        "originator": "codex_oss",
        "User-Agent": f"codex-oss/{__version__}",
        "session-id": "s",
        "thread-id": "t",
    }
    assert "ChatGPT-Account-Id" not in request_headers(Account(key="k"), Conversation("s", "t"), "codex-oss")


def test_the_official_words_only_when_they_are_asked_for() -> None:
    """By the setting, and never for what a client calls itself."""
    headers = request_headers(ACCOUNT, Conversation("s", "t"), "codex")
    assert headers["originator"] == "codex_cli_rs"
    assert headers["User-Agent"].startswith("codex_cli_rs/")


def sent(owner: str, **ask: Any) -> dict[str, Any]:
    """The body of a turn with two thoughts: one that *owner* may have sealed, one that nobody marked."""
    thought = {"type": "reasoning", "summary": [], "encrypted_content": marked("mine", "gAown")}
    bare = {"type": "reasoning", "summary": [], "encrypted_content": "gAbare"}
    answer = {"type": "message", "role": "assistant", "content": "so"}
    raw = {"model": "openai/gpt-5.4", "input": [USER, thought, bare, answer, USER], "client_metadata": {"a": "b"}}
    turn = TurnRequest("resp_1", "openai/gpt-5.4", (Message("user", (TextPart("hi"),)),), untranslated=raw)
    asked = Ask(turn, conversation_of(turn), PROFILE, **ask)
    body, _, sealed = body_of(asked, raw_profile(owner, "gpt-5.4", ""))
    told: dict[str, Any] = json.loads(body)
    assert sealed is any(item.get("type") == "reasoning" for item in told["input"])
    return told


@pytest.mark.parametrize(
    ("owner", "ask", "seals"),
    [
        ("mine", {}, ["gAown", "gAbare"]),
        ("other", {}, ["gAbare"]),
        ("other", {"keep_unmarked": False}, []),
        ("mine", {"with_reasoning": False}, []),
    ],
)
def test_seals_of_others_stay_here(owner: str, ask: dict[str, bool], seals: list[str]) -> None:
    """By their mark; unmarked ones as long as the account stays."""
    told = sent(owner, **ask)
    assert [item["encrypted_content"] for item in told["input"] if item["type"] == "reasoning"] == seals
    assert told["model"] == "gpt-5.4"
    assert "client_metadata" not in told


def test_a_summary_of_ours_is_sent_as_text() -> None:
    """The backend could not open it."""
    raw = {"model": "m", "input": [{"type": "compaction", "encrypted_content": "cxs1.x"}, USER]}
    items = (CompactionItem("cxs1.x", "the note"), Message("user", (TextPart("hi"),)))
    turn = TurnRequest("resp_1", "gpt-5.4", items, untranslated=raw)
    body, _, _ = body_of(Ask(turn, conversation_of(turn), PROFILE), PROFILE)
    assert b"the note" in body
    assert b"cxs1" not in body


def test_a_seal_names_nobody() -> None:
    """It travels to clients, and into their files."""
    owner = seal_owner(ACCOUNT)
    assert "a@b" not in owner
    assert "acc|" not in owner
    assert ":" not in owner
    assert seal_owner(Account(key="other", account_id="acc2", email="a@b")) != owner
