"""`codex-oss run` with the user's own ChatGPT accounts: tools, sealed reasoning, an expired token, a switch, quotas."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import structs

from codex_oss.accounts.account import Account
from codex_oss.accounts.book import Book
from codex_oss.accounts.shapes import decoded, encoded
from tests.cli.test_run import environ, project, session_of
from tests.fakes.account_bench import account_of
from tests.fakes.chat_upstream import Answer
from tests.fakes.chatgpt_backend import ChatGptBackend, Limits, Turn, called, cut, said, used_up
from tests.fakes.issuer import Issuer

__all__ = ["project"]
MODEL = "gpt-5.4"


class Bench:
    """Accounts on disk, their issuer and backend."""

    def __init__(self, project: Path, issuer: Issuer, backend: ChatGptBackend, made: list[Account]) -> None:
        self.project = project
        self.issuer = issuer
        self.backend = backend
        folder = project.parent / "config" / "codex-oss"
        folder.mkdir(parents=True, mode=0o700)
        self.path = folder / "codex-accounts.json"
        self.keep(Book(tuple(made)))

    @property
    def book(self) -> Book:
        """The accounts as they lie on disk."""
        return decoded(self.path.read_bytes())

    def keep(self, book: Book) -> None:
        """Replace the accounts on disk."""
        self.path.write_bytes(encoded(book))
        self.path.chmod(0o600)

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run the verb to its end."""
        placed = {
            "XDG_CONFIG_HOME": str(self.path.parent.parent),
            "CODEX_OSS_CHATGPT_BASE_URL": self.backend.url,
            "CODEX_OSS_OAUTH_ISSUER": self.issuer.url,
        }
        return subprocess.run(
            [sys.executable, "-m", "codex_oss", "run", "-m", MODEL, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environ(self.project, None, **placed, **more),
            cwd=self.project,
            timeout=60,
        )


@contextmanager
def bench(project: Path, *names: str, script: Any) -> Iterator[Bench]:
    """These accounts, the first one active."""
    with Issuer() as issuer, ChatGptBackend(script) as backend:
        yield Bench(project, issuer, backend, [account_of(issuer, name) for name in names])


def reader(turn: Turn) -> Answer:
    """Reads a file in the first turn, then says how many outcomes it has seen."""
    if not turn.outputs:
        return called("read_file", {"path": "app/retry.py"})
    return said(f"{turn.account}: {len(turn.outputs)} outcome, last: {'MAX_RETRIES' in str(turn.outputs[-1])}")


def test_a_task_with_a_tool_call_survives_an_expired_token_and_is_resumed(project: Path) -> None:
    """Within the turn the token is refused, before the next one it has run out: nobody signs in again."""
    with bench(project, "a", script=reader) as run:
        first_token = run.book.accounts[0].credential.access

        def expires(turn: Turn) -> Answer:
            run.backend.expired.add(turn.token)
            return reader(turn)

        run.backend.answers = expires
        first = run.run("How often?")
        assert (first.returncode, first.stdout) == (0, "acc-a: 1 outcome, last: True\n"), first.stderr
        run.backend.answers = reader
        book = run.book
        stale = structs.replace(book.accounts[0].credential, expires_ms=int((time.time() - 60) * 1000))
        run.keep(Book((structs.replace(book.accounts[0], credential=stale),)))
        second = run.run("--session", session_of(first), "And now?")
        assert (second.returncode, second.stdout) == (0, "acc-a: 1 outcome, last: True\n"), second.stderr
        assert run.issuer.reuses == []
        assert run.book.accounts[0].credential.access != first_token
        sealed = [item for item in run.backend.turns[-1].body["input"] if item["type"] == "reasoning"]
    assert len(sealed) == 2  # the backend opens only its own: one wrong seal would have been refused
    tokens = first.stdout + first.stderr + second.stdout + second.stderr
    assert first_token not in tokens


def test_the_conversation_goes_on_with_the_second_account_and_that_is_told_once(project: Path) -> None:
    """The first one meets its limit; the next turns are answered by the second, in processes of their own."""
    with bench(project, "a", "b", script=lambda turn: said(f"hello from {turn.account}")) as run:
        first = run.run("One")
        run.backend.next("acc-a", used_up(3600))
        second = run.run("--session", session_of(first), "Two")
        third = run.run("--session", session_of(first), "Three")
        said_before = run.backend.turns[-1].text
    assert [done.stdout for done in (first, second, third)] == [
        "hello from acc-a\n", "hello from acc-b\n", "hello from acc-b\n",
    ]  # fmt: skip
    assert ["instead of" in done.stderr for done in (first, second, third)] == [False, True, False], second.stderr
    assert "hello from acc-a" in said_before
    log = (project / ".codex-oss/state/requests.jsonl").read_text().splitlines()
    assert [(line["surface"], line["session"] == session_of(first)) for line in map(json.loads, log)] == [
        ("run", True)
    ] * 3
    noted = [[(one["reason"], one["outcome"]) for one in json.loads(line)["attempts"]] for line in log]
    assert noted[1] == [("initial_attempt", "used_up"), ("retry_switched_account_after_429", "answered")]
    assert noted[2] == [("initial_attempt", "answered")]


def test_a_crossed_threshold_is_one_line(project: Path) -> None:
    """Little is left: stderr says so once, and not again with the next turn."""
    with bench(project, "a", script=lambda turn: said("ok")) as run:
        run.backend.limits["acc-a"] = Limits(primary=91.0)
        first, second = run.run("One"), run.run("Two")
    lines = [line for line in first.stderr.splitlines() if "window left" in line]
    assert lines == ["note: a@example.com (plus) has 9 % of its 5h window left. [quota_threshold]"], first.stderr
    assert "window left" not in second.stderr


def test_a_stream_that_is_cut_says_so(project: Path) -> None:
    """What was said stands on stdout, the rest is not made up, and the exit code is 1."""
    with bench(project, "a", script=lambda turn: cut("Half of an answer")) as run:
        done = run.run("One")
    assert done.returncode == 1
    assert done.stdout.startswith("Half")
    assert done.stdout.endswith("\n")
    assert "cut off" in done.stderr


def test_without_an_account_the_sign_in_is_named(project: Path) -> None:
    """No account is no traceback but one sentence with what to do."""
    with bench(project, script=lambda turn: said("ok")) as run:
        done = run.run("One")
    assert done.returncode == 1
    assert "[no_accounts_configured]" in done.stderr
    assert "codex-oss login" in done.stderr
