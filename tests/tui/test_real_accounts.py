"""Both screens with real accounts: a rude issuer and a rude backend, a real process, a real terminal."""

from __future__ import annotations

import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec import Struct

from codex_oss.accounts.account import Account
from codex_oss.accounts.book import Book, Meant
from codex_oss.accounts.shapes import decoded, encoded
from tests.fakes.account_bench import account_of
from tests.fakes.chat_upstream import Answer
from tests.fakes.chatgpt_backend import ChatGptBackend, Turn, said, used_up
from tests.fakes.chatgpt_catalog import entry, usage
from tests.fakes.issuer import Issuer
from tests.tui.real_terminal import Terminal
from tests.tui.test_real_terminal import CTRL_D, environ

MODEL = "gpt-5.4"


class Bench(Struct):
    """A home with accounts, and who they belong to."""

    home: Path
    issuer: Issuer
    backend: ChatGptBackend

    @property
    def path(self) -> Path:
        """The accounts on disk."""
        return self.home / ".config" / "codex-oss" / "codex-accounts.json"

    @property
    def book(self) -> Book:
        """What it says."""
        return decoded(self.path.read_bytes())

    def terminal(self, *arguments: str) -> Terminal:
        """Start a verb."""
        placed = {
            "CODEX_OSS_CHATGPT_BASE_URL": self.backend.url,
            "CODEX_OSS_OAUTH_ISSUER": self.issuer.url,
            "GPT_MODEL_STRATEGY": "accounts",
        }
        return Terminal((sys.executable, "-m", "codex_oss", *arguments), environ(self.home, **placed), cwd=self.home)


def answers(turn: Turn) -> Answer:
    """Says which account it is."""
    return said(f"Answered by {turn.account}.")


@contextmanager
def seated(home: Path, *names: str, life_s: float = 3600.0) -> Iterator[Bench]:
    """These accounts, the first one active. life_s: of the access tokens that they have."""
    home.mkdir()
    with Issuer() as issuer, ChatGptBackend(answers) as backend:
        bench = Bench(home, issuer, backend)
        bench.path.parent.mkdir(parents=True, mode=0o700)
        expires_ms = int((time.time() + life_s) * 1000)
        accounts = tuple(account_of(issuer, name, expires_ms=expires_ms) for name in names)
        active = Meant(1, accounts[0].person_key if accounts else "")
        bench.path.write_bytes(encoded(Book(accounts, active)))
        bench.path.chmod(0o600)
        yield bench


def tokens_of(*accounts: Account) -> list[str]:
    """Everything that must not be on a screen."""
    return [token for one in accounts for token in (one.credential.access, one.credential.refresh)]


def test_tokens_are_renewed_and_quotas_read(tmp_path: Path) -> None:
    """r spends the refresh token once, l asks the backend; the file has the new tokens, the screen the bars."""
    with seated(tmp_path / "home", "a", life_s=-10) as bench:
        bench.backend.catalog.usage[""] = usage(
            {"used_percent": 12.5, "limit_window_seconds": 18_000},
            {"used_percent": 40, "limit_window_seconds": 604_800},
        )
        before = bench.book
        with bench.terminal("tui") as terminal:
            terminal.until("a@example.com")
            terminal.send("r")
            terminal.until("a@example.com (plus) has fresh tokens.")
            terminal.send("l")
            terminal.until("The quota of 1 account was read.")
            terminal.until("87% left")
            terminal.until("60% left")
            terminal.send("q")
            assert terminal.end() == 0
            shown = terminal.words()
        after = bench.book
        assert after.accounts[0].credential.generation == 2
        assert (bench.issuer.refreshes, bench.issuer.reuses) == (1, [])
        assert [token for token in tokens_of(*before.accounts, *after.accounts) if token in shown] == []


def test_a_sign_in_with_a_code(tmp_path: Path) -> None:
    """The code is on the screen, the person types it elsewhere, and the account is in the file."""
    with seated(tmp_path / "home") as bench, bench.terminal("tui") as terminal:
        terminal.until("There is no account yet.")
        terminal.send("a")
        terminal.until("Sign in with a ChatGPT account")
        terminal.send("\r")
        terminal.until("ABCD-12345")
        form = urllib.parse.urlencode({"user_code": "ABCD-12345"}).encode()
        urllib.request.urlopen(f"{bench.issuer.url}/codex/device", form, timeout=10).close()
        terminal.until("Signed in as ann@x.y (plus).")
        terminal.send("q")
        assert terminal.end() == 0
        assert [one.email for one in bench.book.accounts] == ["ann@x.y"]
        assert [token for token in tokens_of(*bench.book.accounts) if token in terminal.words()] == []


@pytest.mark.parametrize("leave", ["\x1b", "q"])
def test_leaving_a_sign_in_leaves_nothing(tmp_path: Path, leave: str) -> None:
    """Esc, or Ctrl-C in the middle of it, stores nothing, and the program ends."""
    with seated(tmp_path / "home", "a") as bench, bench.terminal("tui") as terminal:
        terminal.until("a@example.com")
        before = bench.path.read_bytes()
        terminal.send("a")
        terminal.until("Sign in with a ChatGPT account")
        terminal.send("\r")
        terminal.until("ABCD-12345")
        if leave == "\x1b":
            terminal.send(leave)
            terminal.until("No account was added.")
        terminal.send("\x03")
        assert terminal.end() == 0
        assert bench.path.read_bytes() == before


def test_a_chat_says_which_account_answers(tmp_path: Path) -> None:
    """The first account is used up: the second answers, the person is told, and the line below follows."""
    with seated(tmp_path / "home", "a", "b") as bench:
        bench.backend.catalog.models[""] = [entry(MODEL)]
        with bench.terminal("chat", "-m", MODEL, "--session", "afternoon") as terminal:
            terminal.until("a@example.com (plus)")
            terminal.send("who are you?\r")
            terminal.until("Answered by acc-a.")
            terminal.until("40 out")  # the turn is over; before that a prompt is refused
            bench.backend.next("acc-a", used_up(3600))
            terminal.send("and now?\r")
            terminal.until("Answered by acc-b.")
            terminal.until("note: ")
            terminal.until("b@example.com (plus)")
            terminal.send(CTRL_D)
            assert terminal.end() == 0
            assert [token for token in tokens_of(*bench.book.accounts) if token in terminal.words()] == []
