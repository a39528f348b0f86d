"""GPT_MODEL_STRATEGY=accounts behind the real bridge: a rude backend, a rude issuer, accounts on disk."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import structs

from codex_oss.accounts.account import Account, Credential
from codex_oss.accounts.book import Book
from codex_oss.accounts.shapes import decoded, encoded
from tests.fakes.bridge_process import Answer, BridgeProcess, running_bridge
from tests.fakes.chatgpt_backend import (
    ChatGptBackend,
    Turn,
    said,
)
from tests.fakes.issuer import Issuer

MODEL = "gpt-5.4"
SESSION = "0198c2a0-0000-7000-8000-000000000001"


def account(issuer: Issuer, name: str, **changes: Any) -> Account:
    """A signed-in account of this issuer."""
    email, login = f"{name}@example.com", issuer.login(f"{name}@example.com", f"acc-{name}")
    fresh = int((time.time() + 3600) * 1000)
    held = Credential(1, changes.pop("expires_ms", fresh), login["access_token"], login["refresh_token"])
    made = Account(
        key=f"acc-{name}|{email}|plus", account_id=f"acc-{name}", email=email, plan="plus", credential=held, added_ms=1
    )
    return structs.replace(made, **changes)


class Bench:
    """A bridge with its backend and issuer."""

    def __init__(self, bridge: BridgeProcess, backend: ChatGptBackend, issuer: Issuer, path: Path) -> None:
        self.bridge = bridge
        self.backend = backend
        self.issuer = issuer
        self.path = path

    @property
    def book(self) -> Book:
        """The accounts as they lie on disk."""
        return decoded(self.path.read_bytes())

    def account(self, name: str) -> Account:
        """One of them."""
        return next(one for one in self.book.accounts if one.account_id == f"acc-{name}")

    def ask(self, text: Any = "hello", *, session: str = SESSION, **more: Any) -> Answer:
        """One turn over HTTP."""
        body = {"model": MODEL, "input": text, "stream": True, "store": False, **more}
        headers = {**self.bridge.auth, **({"session-id": session} if session else {})}
        return self.bridge.request("POST", "/v1/responses", json.dumps(body).encode(), headers)

    def attempts(self) -> list[list[dict[str, str]]]:
        """The attempts of every request, as the log has them."""
        log = self.bridge.project / ".codex-oss" / "state" / "requests.jsonl"
        ends_at = time.monotonic() + 5
        while time.monotonic() < ends_at:
            lines = log.read_text().splitlines() if log.exists() else []
            if lines:
                return [json.loads(line)["attempts"] for line in lines]
            time.sleep(0.02)
        raise AssertionError("nothing was logged")


@contextmanager
def bench(
    tmp_path: Path, *accounts: str | tuple[str, dict[str, Any]], script: Any = None, **extra: str
) -> Iterator[Bench]:
    """A running bridge with these accounts; the first one is active."""
    with Issuer() as issuer, ChatGptBackend(*([script] if script else [])) as backend:
        named = [(one, {}) if isinstance(one, str) else one for one in accounts]
        made = [account(issuer, name, **changes) for name, changes in named]
        folder = tmp_path / "config" / "codex-oss"
        folder.mkdir(parents=True, mode=0o700)
        path = folder / "codex-accounts.json"
        path.write_bytes(encoded(Book(tuple(made))))
        path.chmod(0o600)
        environ = {
            "XDG_CONFIG_HOME": str(tmp_path / "config"),
            "GPT_MODEL_STRATEGY": "accounts",
            "CODEX_OSS_CHATGPT_BASE_URL": backend.url,
            "CODEX_OSS_OAUTH_ISSUER": issuer.url,
            **extra,
        }
        with running_bridge(tmp_path / "project", **environ) as bridge:
            yield Bench(bridge, backend, issuer, path)


def text_of(answer: Answer) -> str:
    """What the assistant said."""
    assert answer.status == 200, answer.body
    final = next(event["response"] for event in answer.events if event["type"] == "response.completed")
    return "".join(part["text"] for item in final["output"] if item["type"] == "message" for part in item["content"])


def hello(turn: Turn) -> Any:
    """Each account answers with its name."""
    return said(f"hello from {turn.account}")


def test_a_turn_is_answered_by_an_account(tmp_path: Path) -> None:
    """The backend takes what the bridge sends, and the client reads a whole answer in the model's name."""
    with bench(tmp_path, "a", script=hello) as run:
        answer = run.ask("hi", temperature=0.3, max_output_tokens=99, metadata={"a": "b"})
        assert text_of(answer) == "hello from acc-a"
        (turn,) = run.backend.turns
    assert turn.body["model"] == MODEL
    assert turn.body["store"] is False
    assert turn.request.headers["originator"] == "codex_oss"
    assert turn.request.headers["user-agent"].startswith("codex-oss/")
    assert turn.request.headers["session-id"] == turn.request.headers["thread-id"] == SESSION
    assert turn.body["prompt_cache_key"] == SESSION
    assert "codex.rate_limits" not in answer.body.decode()
