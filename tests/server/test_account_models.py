"""A real bridge with accounts: their models in its list, the catalog routes, quotas are asked for beside the turns."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from codex_oss.accounts.account import Cooldown, Switch
from codex_oss.services.quota_store import QuotaStore
from tests.fakes.account_bench import MODEL, AccountBench, account_bench, text_of
from tests.fakes.chatgpt_backend import Limits
from tests.fakes.chatgpt_catalog import challenge, entry, usage


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AccountBench]:
    """One bridge for all of these tests."""
    with account_bench(tmp_path_factory.mktemp("models")) as bench:
        yield bench


@pytest.fixture
def bench(running: AccountBench, request: pytest.FixtureRequest) -> AccountBench:
    """Each test has accounts of its own name, so that nothing is known of them."""
    running.session = f"session-{request.node.name}"
    running.backend.catalog.trouble.clear()
    running.backend.catalog.seen.clear()
    return running


def listing(bench: AccountBench, **headers: str) -> Any:
    """What `GET /v1/models` says."""
    answer = bench.bridge.request("GET", "/v1/models?client_version=0.169.0", b"", {**bench.bridge.auth, **headers})
    assert answer.status == 200
    return json.loads(answer.body)


def until(true: Callable[[], bool]) -> None:
    """Wait for what the bridge does beside its answers."""
    ends_at = time.monotonic() + 30
    while not true():
        assert time.monotonic() < ends_at
        time.sleep(0.02)


def test_the_models_of_accounts_are_listed(bench: AccountBench) -> None:
    """In both forms, in front of ours; not the hidden ones, and not those of an account that is disabled."""
    catalog = bench.backend.catalog
    catalog.models["acc-list1"] = [entry("gpt-5.4", priority=1), entry("gpt-hidden", visibility="hide")]
    catalog.models["acc-list2"] = [entry("gpt-5.4"), entry("gpt-5.4-pro", priority=2)]
    bench.seat("list1", "list2")
    told = listing(bench)
    assert [model["slug"] for model in told["models"]][:3] == ["gpt-5.4", "gpt-5.4-pro", "ocg-kimi-k2.6"]
    assert told["data"][0]["id"] == "gpt-5.4"
    assert told["data"][0]["object"] == "model"
    assert "gpt-hidden" not in json.dumps(told)
    assert len(catalog.asked("codex/models")) == 2
    bench.change("list2", switch=Switch(2, False, "by_person"))
    assert [model["slug"] for model in listing(bench)["models"]][:2] == ["gpt-5.4", "ocg-kimi-k2.6"]


def test_a_list_is_answered_without_the_backend(bench: AccountBench) -> None:
    """A challenge page costs the accounts' models and nothing else."""
    bench.backend.catalog.trouble["codex/models"] = [challenge()] * 3
    bench.seat("lonely")
    told = listing(bench)
    assert told["models"][0]["slug"].startswith("ocg-")
    assert not [model for model in told["models"] if model["slug"].startswith("gpt-")]


def test_the_catalog_routes(bench: AccountBench) -> None:
    """A model that only the second account has is answered by it; the first one is not even asked."""
    catalog = bench.backend.catalog
    catalog.models["acc-route1"] = [entry("gpt-other")]
    catalog.models["acc-route2"] = [entry(MODEL)]
    bench.seat("route1", "route2")
    listing(bench)
    assert text_of(bench.ask())
    assert bench.backend.asked == ["acc-route2"]


def test_quotas_are_asked_for_beside_the_turns(bench: AccountBench) -> None:
    """A backend whose answers tell none is asked; an account that cools by a guess and has quota answers again."""
    guessed = Cooldown(int((time.time() + 3000) * 1000), "usage_limit_reached", False)
    bench.seat("quiet", ("waiting", {"cooldown": guessed}))
    bench.backend.quiet = True
    for account in ("acc-quiet", "acc-waiting"):
        bench.backend.catalog.usage[account] = usage({"used_percent": 96.5, "limit_window_seconds": 18_000})
    assert text_of(bench.ask())
    until(lambda: bench.account("waiting").cooldown == Cooldown())
    known = QuotaStore(bench.folder)
    people = {bench.account(name).person_key for name in ("quiet", "waiting")}
    until(lambda: people <= known.known().keys())
    assert {quota.windows[0].used_percent for person, quota in known.known().items() if person in people} == {96.5}
    until(lambda: "quota_threshold account=quiet@example.com (plus) window=5h remaining_percent=3.5" in bench.log())
    assert bench.log().count("quota_threshold account=quiet@example.com") == 1


def test_a_threshold_is_told_once_by_any_bridge(tmp_path: Path) -> None:
    """By answers that tell it again and again, and over a restart; the next one is news."""
    told: list[str] = []
    for used in (81.0, 82.5, 91.0):
        with account_bench(tmp_path) as bench:
            bench.seat("ann")
            bench.backend.limits["acc-ann"] = Limits(primary=used, secondary=5.0)
            for _ in range(3):
                assert text_of(bench.ask())
            told += [line for line in bench.log().splitlines() if "quota_threshold" in line]
    assert [line.rpartition("window=")[2] for line in told] == [
        "5h remaining_percent=19",
        "5h remaining_percent=9",
    ]
