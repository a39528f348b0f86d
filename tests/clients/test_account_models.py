"""The real Codex CLI takes the list with the accounts' models, also where the backend's entries are bare or junk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.test_account_lane import run_in_codex
from tests.fakes.account_bench import MODEL, AccountBench, account_bench
from tests.fakes.chatgpt_backend import said

pytestmark = [pytest.mark.client, pytest.mark.slow]

WORDS = "You are the bare entry of a catalog."


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[AccountBench]:
    """A bridge with one account."""
    with account_bench(tmp_path / "bench") as running:
        running.seat("a")
        running.backend.answers = lambda _: said("Hello.")
        yield running


def test_codex_knows_the_model_by_its_entry(bench: AccountBench, tmp_path: Path) -> None:
    """Its instructions are those of the entry, so Codex read the bridge's list whole; junk costs nobody the others."""
    bare = {"slug": MODEL, "visibility": "list", "context_window": 200_000, "base_instructions": WORDS}
    junk = {"slug": "gpt-junk", "visibility": "list", "context_window": 1, "priority": "x", "truncation_policy": 7}
    bench.backend.catalog.models["acc-a"] = [None, junk, bare, {"slug": 7}]
    listed = json.loads(bench.bridge.request("GET", "/v1/models", b"", bench.bridge.auth).body)
    assert [model["slug"] for model in listed["models"]][:2] == ["gpt-junk", MODEL]
    catalog = tmp_path / "listed.json"
    catalog.write_text(json.dumps({"models": listed["models"]}))
    run = run_in_codex(bench, tmp_path, "Hello.", "-c", f"model_catalog_json={json.dumps(str(catalog))}")
    assert run.failure == "", bench.log()
    assert run.messages[-1].message == "Hello."
    assert bench.backend.turns[-1].body["instructions"].startswith(WORDS)
