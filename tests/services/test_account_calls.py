"""The MCP tools about accounts, called as a client would: what they change, say and refuse."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from codex_oss.accounts.account import Cooldown, Switch
from codex_oss.accounts.book import Meant
from codex_oss.accounts.quota import FIVE_HOURS_S, WEEK_S, Quota, Window
from codex_oss.services.account_calls import AccountCalls
from codex_oss.services.account_store import AccountStore
from codex_oss.services.account_tools import (
    ACCOUNT_TOOL_NAMES,
    ACCOUNT_TOOLS,
    SWITCH_ENV,
    offered_tools,
    offers_accounts,
)
from codex_oss.services.delegation_tools import TOOLS
from tests.cli.account_home import ANN, BOB, CANARY, TEAM, Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A user with three accounts, the first of them active."""
    made = Home(tmp_path)
    made.put(ANN, BOB, TEAM, active=Meant(1, ANN.person_key))
    return made


def calls_of(home: Home, **quotas: Quota) -> AccountCalls:
    """The tools of this user."""
    return AccountCalls(home.store, lambda: quotas)


async def said(home: Home, name: str, **arguments: Any) -> str:
    """The text of a call that is carried out."""
    reply = await calls_of(home).call(name, arguments)
    assert not reply.is_error, reply.text
    assert CANARY not in reply.text + json.dumps(reply.structured)
    return reply.text


async def test_status_numbers_the_accounts(home: Home) -> None:
    """From 1 on, with state, what is left and its reset; what nobody said is unknown."""
    ends_ms = (int(time.time()) + 7200) * 1000
    home.put(
        ANN, structs.replace(BOB, cooldown=Cooldown(ends_ms, "usage_limit_reached")), active=Meant(1, ANN.person_key)
    )
    quota = Quota(1.0, (Window(FIVE_HOURS_S, 27.5, ends_ms / 1000), Window(WEEK_S, None, None)))
    calls = AccountCalls(home.store, lambda: {ANN.person_key: quota})
    reply = await calls.call("codex-status", {})
    one, two = reply.text.splitlines()
    assert one.startswith("#1 ann@x.y (plus): enabled, active; 5h 72.5% left, resets ")
    assert one.endswith("; weekly unknown")
    assert two.startswith("#2 bob@x.y (pro): cooling until ")
    assert two.endswith("quota unknown")
    assert [row["index"] for row in reply.structured["accounts"]] == [1, 2]
    assert CANARY not in reply.text + json.dumps(reply.structured)
    assert str(home.folder) not in reply.text + json.dumps(reply.structured)


async def test_switching(home: Home) -> None:
    """The verb, the place, the label, the state; the book says so, and a pin on another one is gone."""
    home.store.change(lambda book: structs.replace(book, pinned=Meant(1, ANN.person_key)))
    text = await said(home, "codex-switch-accounts", index=2)
    assert text == "Switched to #2 bob@x.y (pro): enabled, active."
    book = home.store.read()
    assert (book.active.person, book.pinned.person) == (BOB.person_key, "")


async def test_toggling(home: Home) -> None:
    """Off and on again; who answers instead is named."""
    text = await said(home, "codex-toggle-account", index=1)
    assert text == "Disabled #1 ann@x.y (plus): disabled. bob@x.y (pro) answers new conversations."
    assert home.store.read().accounts[0].switch.enabled is False
    text = await said(home, "codex-toggle-account", index=1)
    assert text.startswith("Enabled #1 ann@x.y (plus): enabled.")


async def test_removing(home: Home) -> None:
    """Only with confirm; the places behind it move up."""
    reply = await calls_of(home).call("codex-remove-account", {"index": 1})
    assert (reply.is_error, reply.structured["error"]) == (True, "not_confirmed")
    assert "#1 ann@x.y (plus)" in reply.text
    assert len(home.store.read().accounts) == 3
    text = await said(home, "codex-remove-account", index=1, confirm=True)
    assert text == "Removed #1 ann@x.y (plus): gone. bob@x.y (pro) answers new conversations."
    assert [account.key for account in home.store.read().accounts] == [BOB.key, TEAM.key]


REFUSED = [
    ("codex-switch-accounts", {"index": 4}, "account_unknown"),
    ("codex-switch-accounts", {"index": 0}, "arguments_invalid"),
    ("codex-switch-accounts", {"index": "1"}, "arguments_invalid"),
    ("codex-switch-accounts", {}, "arguments_invalid"),
    ("codex-switch-accounts", {"index": 3}, "account_disabled"),
    ("codex-toggle-account", {"index": True}, "arguments_invalid"),
    ("codex-toggle-account", {"index": 10**30}, "arguments_invalid"),
    ("codex-remove-account", {"index": 1, "confirm": "yes"}, "arguments_invalid"),
    ("codex-remove-account", {"index": 9, "confirm": True}, "account_unknown"),
    ("codex-status", {"index": 1}, "arguments_invalid"),
]


@pytest.mark.parametrize(("name", "arguments", "code"), REFUSED)
async def test_what_is_refused(home: Home, name: str, arguments: dict[str, Any], code: str) -> None:
    """An answer with a code, and nothing is changed."""
    home.put(ANN, BOB, structs.replace(TEAM, switch=Switch(1, enabled=False)))
    before = home.store.path.read_bytes()
    reply = await calls_of(home).call(name, arguments)
    assert (reply.is_error, reply.structured["error"]) == (True, code), reply.text
    assert home.store.path.read_bytes() == before


async def test_a_damaged_book_names_no_path(home: Home) -> None:
    """The person is told where to look; the model is not told where it lies."""
    home.store.path.write_text("{")
    reply = await calls_of(home).call("codex-status", {})
    assert (reply.is_error, reply.structured["error"]) == (True, "accounts_corrupt")
    assert str(home.home) not in reply.text
    assert await said(home, "codex-status") == "No account yet; the user signs in with: codex-oss login"


def test_when_they_are_offered(tmp_path: Path) -> None:
    """Where there is a book, empty or not; the switch says otherwise either way."""
    environ = {"HOME": str(tmp_path)}
    assert offered_tools(environ) == TOOLS
    assert offers_accounts({**environ, SWITCH_ENV: "on"}) is True
    store = AccountStore(tmp_path / ".config" / "codex-oss")
    store.change(lambda book: book.with_account(ANN))
    assert offered_tools(environ) == (*TOOLS, *ACCOUNT_TOOLS)
    assert offered_tools({**environ, SWITCH_ENV: "OFF"}) == TOOLS
    assert offers_accounts({}) is False


def test_their_form() -> None:
    """The four names, one that only reads, one that destroys, and no name of another tool."""
    wire = {tool.name: tool.on_wire()["annotations"] for tool in ACCOUNT_TOOLS}
    assert set(wire) == ACCOUNT_TOOL_NAMES
    assert [name for name, hints in wire.items() if hints["readOnlyHint"]] == ["codex-status"]
    assert [name for name, hints in wire.items() if hints["destructiveHint"]] == ["codex-remove-account"]
    assert ACCOUNT_TOOL_NAMES.isdisjoint(tool.name for tool in TOOLS)
