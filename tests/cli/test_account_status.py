"""`codex-oss accounts status` against a rude backend: it asks, draws, and lives with no answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from codex_oss.accounts.account import Cooldown, Switch
from codex_oss.accounts.book import Meant
from tests.cli.account_home import ANN, BOB, CANARY, TEAM, Home
from tests.fakes.chatgpt_catalog import ChatGptCatalog, challenge, usage

FIVE = {"used_percent": 27.5, "limit_window_seconds": 18_000, "reset_after_seconds": 600}
WEEK = {"used_percent": 60.0, "limit_window_seconds": 604_800, "reset_after_seconds": 90_000}


@pytest.fixture
def backend() -> Iterator[ChatGptCatalog]:
    """The backend."""
    with ChatGptCatalog() as running:
        running.usage[""] = usage(FIVE, WEEK)
        yield running


@pytest.fixture
def home(tmp_path: Path, backend: ChatGptCatalog) -> Home:
    """A user with three accounts, the last of them disabled."""
    made = Home(tmp_path)
    made.environ = {"CODEX_OSS_CHATGPT_BASE_URL": backend.url}
    off = structs.replace(TEAM, switch=Switch(1, enabled=False, why="by_person"))
    made.put(ANN, BOB, off, active=Meant(1, ANN.person_key))
    return made


def test_it_asks_and_the_list_knows_it_then(home: Home, backend: ChatGptCatalog) -> None:
    """Every account that may be used is asked, a disabled one is not; `list` shows what was heard."""
    assert home.listed()[ANN.key]["quota"] == []
    rows = home.told("accounts", "status")["accounts"]
    assert [[window["window"] for window in row["quota"]] for row in rows] == [["5h", "weekly"], ["5h", "weekly"], []]
    assert rows[0]["quota"][0]["used_percent"] == 27.5
    assert abs(rows[0]["quota_read_at"] - time.time()) < 60
    assert rows[2]["quota_read_at"] is None
    asked = {seen.headers["chatgpt-account-id"] for seen in backend.seen}
    assert asked == {"acc1", "acc2"}
    assert home.listed()[ANN.key]["quota"] == rows[0]["quota"]


def test_it_draws(home: Home) -> None:
    """Bars with what is left and the reset; no token, no colour in a pipe."""
    done = home.run("accounts", "status")
    assert done.returncode == 0
    assert "72% left" in done.stdout
    assert "40% left" in done.stdout
    assert "█" in done.stdout
    assert "strategy: sticky (the default)" in done.stdout
    assert "\x1b" not in done.stdout
    assert CANARY not in done.stdout + done.stderr


def test_no_poll_asks_nobody(home: Home, backend: ChatGptCatalog) -> None:
    """What was heard before is shown."""
    home.told("accounts", "status")
    count = len(backend.seen)
    assert home.told("accounts", "status", "--no-poll")["accounts"][0]["quota"]
    assert len(backend.seen) == count


def test_who_does_not_answer_keeps_the_last_figures(home: Home, backend: ChatGptCatalog) -> None:
    """A challenge page, then nobody at all: exit 0, and what was heard is still shown."""
    before = home.told("accounts", "status")["accounts"][0]["quota"]
    for path in ("wham/usage", "codex/usage"):
        backend.trouble[path] = [challenge()] * 8
    assert home.told("accounts", "status")["accounts"][0]["quota"] == before
    home.environ = {"CODEX_OSS_CHATGPT_BASE_URL": "http://127.0.0.1:9/backend-api"}
    assert home.told("accounts", "status")["accounts"][0]["quota"] == before


def test_quota_again_ends_a_guess(home: Home) -> None:
    """The backend says that there is quota, and only we had said until when there is none: the account may be used."""
    ends_ms = int(time.time() * 1000) + 3_600_000
    home.put(structs.replace(ANN, cooldown=Cooldown(ends_ms, "usage_limit_reached", believed=False)))
    assert home.listed()[ANN.key]["reason"] == "cooling_down"
    home.run("accounts", "status")
    assert home.listed()[ANN.key]["reason"] is None


def test_a_reset_that_was_named_ends_when_a_person_says_so(home: Home) -> None:
    """Figures lag behind: looking ends nothing that the backend had named; --resume does, where there is quota."""
    ends_ms = int(time.time() * 1000) + 3_600_000
    home.put(structs.replace(ANN, cooldown=Cooldown(ends_ms, "usage_limit_reached", believed=True)))
    home.run("accounts", "status")
    assert home.listed()[ANN.key]["reason"] == "cooling_down"
    home.run("accounts", "status", "--resume")
    assert home.listed()[ANN.key]["reason"] is None
    assert home.run("accounts", "status", "--resume", "--no-poll").returncode == 2


def test_what_is_to_be_expected(home: Home) -> None:
    """In words for a person, as a verdict for programs; of an account that nobody asks nothing is."""
    rows = home.told("accounts", "status")["accounts"]
    assert [forecast["window"] for forecast in rows[0]["forecast"]] == ["5h", "weekly"]
    assert {forecast["verdict"] for forecast in rows[0]["forecast"]} <= {"lasts", "may_not_last", "runs_out", "unknown"}
    assert rows[2]["forecast"] == []
    assert "lasts" in home.run("accounts", "status").stdout
