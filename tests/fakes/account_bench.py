"""A real bridge with GPT_MODEL_STRATEGY=accounts, a rude backend and a rude issuer; its accounts can be seated anew.

    with account_bench(tmp_path) as bench:
        bench.seat("a", ("b", {"switch": OFF}))     # a@example.com in the workspace acc-a, active; b disabled
        answer = bench.ask("hello")

A started bridge is dear; the book is a file that it looks at before each turn, so one bridge serves many tests.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import structs

from codex_oss.accounts.account import Account, Cooldown, Credential
from codex_oss.accounts.book import Book, Meant
from codex_oss.accounts.shapes import decoded, encoded
from tests.fakes.bridge_process import Answer, BridgeProcess, running_bridge
from tests.fakes.chatgpt_backend import ChatGptBackend
from tests.fakes.issuer import Issuer

MODEL = "gpt-5.4"
Seat = str | tuple[str, Mapping[str, Any]]
"""A name, and fields of its account that differ; `expires_ms` is of its credential."""


def account_of(issuer: Issuer, name: str, **changes: Any) -> Account:
    """A signed-in account `name@example.com` of the workspace `acc-name`."""
    email, told = f"{name}@example.com", dict(changes)
    login = issuer.login(email, f"acc-{name}")
    expires_ms = told.pop("expires_ms", int((time.time() + 3600) * 1000))
    made = Account(
        key=f"acc-{name}|{email}|plus",
        account_id=f"acc-{name}",
        email=email,
        plan="plus",
        credential=Credential(1, expires_ms, login["access_token"], login["refresh_token"]),
        added_ms=1,
    )
    return structs.replace(made, **told)


def write_book(folder: Path, book: Book) -> Path:
    """Put a book where the bridge looks for it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "codex-accounts.json"
    beside = folder / "book.new"
    beside.write_bytes(encoded(book))
    beside.chmod(0o600)
    beside.replace(path)
    return path


class AccountBench:
    """The bridge with what it speaks to."""

    def __init__(self, bridge: BridgeProcess, backend: ChatGptBackend, issuer: Issuer, folder: Path) -> None:
        self.bridge = bridge
        self.backend = backend
        self.issuer = issuer
        self.folder = folder
        self.session = "session-0"

    def seat(self, *seats: Seat, pinned: str = "") -> None:
        """These accounts and no others, the first one active; the backend forgets what it was told."""
        named = [(seat, {}) if isinstance(seat, str) else seat for seat in seats]
        accounts = tuple(account_of(self.issuer, name, **changes) for name, changes in named)
        active = Meant(1, accounts[0].person_key if accounts else "")
        pin = next((one.person_key for one in accounts if one.account_id == f"acc-{pinned}"), "")
        write_book(self.folder, Book(accounts, active, Meant(1, pin)))
        (self.folder / "cache" / "codex-affinity.json").unlink(missing_ok=True)
        self.backend.forget()
        self.issuer.trouble = []

    def change(self, name: str, **changes: Any) -> None:
        """Change one account on disk, as a person would; None stands for a field's default."""
        account = self.account(name)
        defaults = {"cooldown": Cooldown()}
        given = {key: defaults[key] if value is None else value for key, value in changes.items()}
        write_book(self.folder, self.book.with_account(structs.replace(account, **given)))

    @property
    def book(self) -> Book:
        """The accounts as they lie on disk."""
        return decoded((self.folder / "codex-accounts.json").read_bytes())

    def account(self, name: str) -> Account:
        """One of them."""
        return next(one for one in self.book.accounts if one.account_id == f"acc-{name}")

    def ask(self, text: Any = "hello", **more: Any) -> Answer:
        """One turn over HTTP, in the session."""
        body = {"model": MODEL, "input": text, "stream": True, "store": False, **more}
        headers = {**self.bridge.auth, "session-id": self.session}
        return self.bridge.request("POST", "/v1/responses", json.dumps(body).encode(), headers)

    def attempts(self, expected: int | None = None) -> list[list[dict[str, str]]]:
        """The attempts of each request of this session, as the request log has them.

        expected: how many there are in all, unless each request that the backend saw is one.
        """
        ends_at = time.monotonic() + 10
        asked = len(self.backend.turns) if expected is None else expected
        while time.monotonic() < ends_at:
            lines = [json.loads(line) for line in self.request_log().splitlines()]
            found = [line["attempts"] for line in lines if line["session"] == self.session]
            if sum(map(len, found)) >= asked:
                return found
            time.sleep(0.02)
        raise AssertionError("a request is missing in the log")

    def request_log(self) -> str:
        """The request log."""
        path = self.bridge.project / ".codex-oss" / "state" / "requests.jsonl"
        return path.read_text() if path.exists() else ""

    def log(self) -> str:
        """The bridge's own log."""
        return self.bridge.log.read_text()


@contextmanager
def account_bench(parent: Path, **extra: str) -> Iterator[AccountBench]:
    """A running bridge without accounts. extra: of its environment."""
    parent.mkdir(parents=True, exist_ok=True)
    with Issuer() as issuer, ChatGptBackend() as backend:
        environ = {
            "XDG_CONFIG_HOME": str(parent / "config"),
            "GPT_MODEL_STRATEGY": "accounts",
            "CODEX_OSS_CHATGPT_BASE_URL": backend.url,
            "CODEX_OSS_OAUTH_ISSUER": issuer.url,
            **extra,
        }
        with running_bridge(parent / "project", **environ) as bridge:
            yield AccountBench(bridge, backend, issuer, parent / "config" / "codex-oss")


def text_of(answer: Answer) -> str:
    """What the assistant said in a streamed answer."""
    assert answer.status == 200, answer.body
    final = next(event["response"] for event in answer.events if event["type"] == "response.completed")
    return "".join(part["text"] for item in final["output"] if item["type"] == "message" for part in item["content"])
