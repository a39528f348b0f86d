"""Asking for quotas: paced, beside the turns, rude answers; what is found ends or begins a cooldown."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from codex_oss.accounts.account import Account, Cooldown, Credential, Switch
from codex_oss.accounts.quota import Quota, Window
from codex_oss.errors import Unavailable
from codex_oss.policy.outbound import AccountBackend
from codex_oss.services.account_store import AccountStore
from codex_oss.services.backend_reads import BackendReads
from codex_oss.services.quota_poll import AGAIN_S, PACE_S, QuotaPoll
from codex_oss.services.quota_store import QuotaStore
from tests.fakes.chatgpt_catalog import ChatGptCatalog, Reply, challenge, usage

NOW = 1_800_000_000.0
ANN = Account(
    key="acc1|ann@x.y|plus",
    account_id="acc1",
    email="ann@x.y",
    plan="plus",
    switch=Switch(1),
    credential=Credential(1, int(NOW * 1000) + 10**9, "ann-access", "ann-refresh"),
)
FIVE = {"used_percent": 12.5, "limit_window_seconds": 18_000, "reset_after_seconds": 600}


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Fresh:
    """Tokens as the book has them. trouble: raised instead."""

    def __init__(self, store: AccountStore) -> None:
        self.store = store
        self.asked = 0
        self.trouble: Exception | None = None

    async def fresh(self, person: str, *, not_generation: int = -1) -> Account | None:
        """The account."""
        self.asked += 1
        if self.trouble is not None:
            raise self.trouble
        return self.store.read().get(person)


class World:
    """A store with Ann in it, a poll, and a backend that answers it."""

    def __init__(self, folder: Path, backend: ChatGptCatalog) -> None:
        self.backend = backend
        self.clock = Clock()
        self.store = AccountStore(folder)
        self.store.change(lambda book: book.with_account(ANN))
        self.refresh = Fresh(self.store)
        self.quotas = QuotaStore(folder, clock=self.clock)
        self.reads = BackendReads(AccountBackend(backend.url))
        self.poll = QuotaPoll(self.refresh, self.store, self.quotas, self.reads, clock=self.clock)

    async def look(self, **options: Any) -> Quota | None:
        """One poll."""
        return await self.poll.poll(ANN.person_key, **options)

    def change(self, **fields: Any) -> None:
        """Put Ann into the book as she is now."""
        self.store.change(lambda book: book.with_account(structs.replace(ANN, **fields)))

    @property
    def cooldown(self) -> Cooldown:
        """Ann's."""
        account = self.store.read().get(ANN.person_key)
        assert account is not None
        return account.cooldown


@pytest.fixture
def backend() -> Iterator[ChatGptCatalog]:
    """A backend that knows Ann."""
    with ChatGptCatalog() as backend:
        backend.usage["acc1"] = usage(FIVE)
        yield backend


@asynccontextmanager
async def opened(folder: Path, backend: ChatGptCatalog) -> AsyncIterator[World]:
    """The world, closed at the end."""
    world = World(folder, backend)
    try:
        yield world
    finally:
        await world.poll.aclose()
        await world.reads.aclose()
        world.quotas.flush()


@pytest.fixture
async def world(tmp_path: Path, backend: ChatGptCatalog) -> AsyncIterator[World]:
    """The world."""
    async with opened(tmp_path, backend) as world:
        yield world


async def test_what_is_asked_and_kept(world: World) -> None:
    """The account's token and id, who asks; the windows are on disk then."""
    told = await world.look()
    assert told == Quota(NOW, (Window(18_000, 12.5, NOW + 600),))
    (seen,) = world.backend.seen
    assert seen.path == "wham/usage"
    assert seen.headers["authorization"] == "Bearer ann-access"
    assert seen.headers["chatgpt-account-id"] == "acc1"
    assert seen.headers["user-agent"].startswith("codex-oss/")
    assert world.quotas.known() == {ANN.person_key: told}


async def test_the_pace(world: World) -> None:
    """Once a minute, ten seconds after a failure, not while a turn said something newer; many askers are one."""
    await asyncio.gather(*(world.look() for _ in range(5)))
    world.clock.now += PACE_S - 1
    await world.look()
    assert len(world.backend.seen) == 1
    world.clock.now += 2
    world.backend.trouble["wham/usage"] = [Reply(500)]
    assert await world.look() is None
    world.clock.now += AGAIN_S - 1
    assert await world.look() is None
    assert len(world.backend.seen) == 2
    world.clock.now += 2
    await world.look()
    assert len(world.backend.seen) == 3
    world.clock.now += PACE_S + 1
    world.quotas.take(ANN.person_key, Quota(world.clock.now - 5, (Window(18_000, 13.0, NOW + 600),)))
    assert await world.look() is not None
    assert len(world.backend.seen) == 3
    await world.look(insists=True)
    assert len(world.backend.seen) == 4


@pytest.mark.parametrize("first", [Reply(403, b'{"detail":"no"}'), challenge(), Reply(404, b"<html>")])
async def test_the_other_path(world: World, first: Reply) -> None:
    """A 403 at the first is no failure of the account; the second is asked, with an originator, and first from then."""
    world.backend.trouble["wham/usage"] = [first]
    assert await world.look() is not None
    assert [seen.path for seen in world.backend.seen] == ["wham/usage", "codex/usage"]
    assert world.backend.seen[1].headers["originator"] == "codex_oss"
    assert world.store.read().accounts == (ANN,)
    world.clock.now += PACE_S
    await world.look()
    assert [seen.path for seen in world.backend.seen[2:]] == ["codex/usage"]


HTML = b"<!doctype html>"
REDIRECT = {"location": "http://127.0.0.1:9/backend-api/wham/usage"}


@pytest.mark.parametrize(
    "reply",
    [
        *(Reply(status, b'{"error":{"code":"deactivated_workspace"}}') for status in (401, 402, 403, 429, 503)),
        *(Reply(200, body) for body in (b"", b"null", b"[]", HTML, b'{"rate_limit": 7}', b"[" * 100_000)),
        Reply(302, b"", REDIRECT),
        Reply(200, b" " * (9 * 1024 * 1024)),
    ],
)
async def test_no_answer_here_is_a_failure_of_the_account(world: World, reply: Reply) -> None:
    """Nothing is raised, nothing is learned, the record stays as it was."""
    world.backend.trouble = {path: [reply] for path in ("wham/usage", "codex/usage")}
    assert await world.look() is None
    assert world.store.read().accounts == (ANN,)
    assert world.quotas.known() == {}


async def test_a_token_does_not_follow_a_redirect(world: World) -> None:
    """Somebody else, who would answer, is not even asked."""
    with ChatGptCatalog() as elsewhere:
        redirect = Reply(307, b"", {"location": f"{elsewhere.url}/wham/usage"})
        world.backend.trouble = {path: [redirect] for path in ("wham/usage", "codex/usage")}
        assert await world.look() is None
        assert elsewhere.seen == []


@pytest.mark.parametrize(
    ("body", "windows"),
    [
        (usage({"used_percent": 3, "limit_window_seconds": 604_800}), (Window(604_800, 3.0),)),
        (
            usage(
                {"used_percent": 3, "limit_window_seconds": 604_800},
                {"used_percent": 4, "limit_window_seconds": 18_000},
            ),
            (Window(18_000, 4.0), Window(604_800, 3.0)),
        ),
        (usage({"used_percent": 3, "reset_at": NOW - 900}), (Window(18_000, 3.0),)),
        (usage({"used_percent": "NaN", "reset_at": NOW + 9}), (Window(18_000, None, NOW + 9),)),
        ({"primary": {"used_percent": 3}, "secondary": "junk"}, (Window(18_000, 3.0),)),
        (
            {"limits": [{"name": "weekly", "leftPct": 40.5}, "junk", {"name": "5h", "remaining": 1, "limit": 8}]},
            (Window(18_000, 87.5), Window(604_800, 59.5)),
        ),
    ],
)
async def test_rude_figures(world: World, body: Any, windows: tuple[Window, ...]) -> None:
    """Weekly first or alone, places swapped, resets that passed, numbers that are none, lists."""
    world.backend.usage["acc1"] = body
    told = await world.look()
    assert told is not None
    assert told.windows == windows


async def test_a_guess_ends_and_a_named_reset_does_not(world: World) -> None:
    """Quota again: the account answers again where only we said that it does not, or where a person says so."""
    world.change(cooldown=Cooldown(int(NOW * 1000) + 60_000, "usage_limit_reached", False))
    await world.look()
    assert world.cooldown == Cooldown()
    named = Cooldown(int(NOW * 1000) + 10**7, "usage_limit_reached", True)
    world.change(cooldown=named)
    world.clock.now += PACE_S
    await world.look()
    await world.look(insists=True)
    assert world.cooldown == named
    await world.look(resumes=True)
    assert world.cooldown == Cooldown()


async def test_limit_reached_is_believed_whatever_the_figures_say(world: World) -> None:
    """A cooldown does not end on figures that lag behind."""
    guessed = Cooldown(int(NOW * 1000) + 60_000, "usage_limit_reached", False)
    world.change(cooldown=guessed)
    body = usage(FIVE)
    body["rate_limit"]["limit_reached"] = True
    world.backend.usage["acc1"] = body
    await world.look()
    assert world.cooldown == guessed


async def test_used_up_windows_cool(world: World) -> None:
    """Until the reset that the backend names."""
    world.backend.usage["acc1"] = usage({**FIVE, "used_percent": 100})
    await world.look()
    assert world.cooldown == Cooldown(int((NOW + 600) * 1000), "quota_exhausted", True)


@pytest.mark.parametrize(
    "fields",
    [
        {"switch": Switch(1, False, "by_person")},
        {"dead_generation": 1},
        {"workspace": Switch(1, False, "deactivated_workspace")},
    ],
)
async def test_who_is_not_to_be_used_is_not_asked(world: World, fields: dict[str, Any]) -> None:
    """Neither asked nor refreshed, also when a person insists."""
    world.change(**fields)
    world.poll.soon([ANN.person_key, "nobody|x"])
    assert await world.look(insists=True) is None
    assert (world.backend.seen, world.refresh.asked) == ([], 0)


async def test_nobody_waits_and_nothing_is_raised(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A refresh that fails, a bug, a backend that is gone: the next turn knows no less than before."""
    for trouble in (Unavailable("not now"), RuntimeError("ann-access")):
        world.refresh.trouble = trouble
        assert await world.look(insists=True) is None
    assert "ann-access" not in caplog.text
    world.refresh.trouble = None
    world.clock.now += AGAIN_S
    world.poll.soon([ANN.person_key, ANN.person_key])
    assert world.quotas.known() == {}
    while not world.quotas.known():  # noqa: ASYNC110 (nobody is told when it is done)
        await asyncio.sleep(0.01)
    assert len(world.backend.seen) == 1


async def test_a_threshold_is_one_log_event(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """With account, window and what remains, told once."""
    caplog.set_level(logging.WARNING)
    world.backend.usage["acc1"] = usage({**FIVE, "used_percent": 91.5})
    await world.look()
    await world.look(insists=True)
    told = [record.getMessage() for record in caplog.records if "quota_threshold" in record.getMessage()]
    assert told == ["quota_threshold account=ann@x.y (plus) window=5h remaining_percent=8.5"]


async def test_tokens_are_nowhere(world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in the cache nor in the log, whatever is answered."""
    caplog.set_level(logging.DEBUG)
    world.backend.usage["acc1"] = {**usage(FIVE), "plan_type": "plus", "note": "ann-access"}
    await world.look()
    kept = (tmp_path / "cache" / "codex-quotas.json").read_text()
    assert json.loads(kept)["accounts"][ANN.person_key]["plan"] == "plus"
    assert "ann-access" not in kept + caplog.text
