"""The pool of accounts on a real store, with a clock of its own: who is leased, who is waited for, what is written."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from codex_oss.accounts.account import Account, Cooldown, Credential, Switch
from codex_oss.accounts.affinity import Bound
from codex_oss.accounts.book import Book, Meant, Strategy
from codex_oss.accounts.failover import WAIT_S
from codex_oss.accounts.failures import Failure
from codex_oss.errors import NoAccountReady, Unavailable
from codex_oss.services.account_pool import AccountPool, Trip, none_ready, wait_text
from codex_oss.services.account_store import AccountStore
from codex_oss.services.affinity_store import AffinityStore

NOW_S = 1_700_000_000.0
NOW_MS = int(NOW_S * 1000)
OFF = Switch(1, False, "x")


def account(name: str, **changes: Any) -> Account:
    """An account that may be used for an hour."""
    held = Credential(1, NOW_MS + 3_600_000, f"at-{name}", f"rt-{name}")
    made = Account(key=name, account_id=f"acc-{name}", email=f"{name}@x", credential=held)
    return structs.replace(made, **changes)


def cooling(seconds: float, why: str = "usage_limit_reached", *, believed: bool = True) -> Cooldown:
    """A cooldown of so many seconds from now on."""
    return Cooldown(NOW_MS + int(seconds * 1000), why, believed)


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.now_s = NOW_S
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        """Let it pass."""
        self.waits.append(seconds)
        self.now_s += seconds


class Refreshes:
    """Gives each account a new token, unless it is told otherwise."""

    def __init__(self, store: AccountStore) -> None:
        self.store = store
        self.asked: list[tuple[str, int]] = []
        self.dead: set[str] = set()
        self.unreachable = False

    async def fresh(self, person: str, *, not_generation: int = -1) -> Account | None:
        """As `TokenRefresh.fresh`."""
        self.asked.append((person, not_generation))
        if self.unreachable:
            raise Unavailable("The sign-in service is away.")
        known = self.store.read().get(person)
        if known is None or person in self.dead:
            return None
        held = Credential(known.credential.generation + 1, NOW_MS * 2, "new", "new")
        renewed = structs.replace(known, credential=held)
        self.store.change(lambda book: book.with_account(renewed))
        return renewed


class Bench:
    """A pool and what it stands on."""

    def __init__(self, folder: Path, *accounts: Account, strategy: Strategy | None = None, pinned: str = "") -> None:
        self.clock = Clock()
        self.store = AccountStore(folder)
        keys = {one.key: one.person_key for one in accounts}
        first = accounts[0].person_key if accounts else ""
        self.store.change(lambda _: Book(accounts, Meant(1, first), Meant(2, keys.get(pinned, ""))))
        self.refresh = Refreshes(self.store)
        self.affinity = AffinityStore(folder, clock=self.clock)
        self.pool = AccountPool(
            self.store, self.refresh, self.affinity, strategy=strategy, clock=self.clock, sleep=self.clock.sleep
        )

    def lease(self, trip: Trip | None = None, **more: str) -> str:
        """The key of the account that is leased."""
        return asyncio.run(self.pool.acquire(trip or Trip(""), **more)).account.key

    def refusal(self, trip: Trip | None = None) -> NoAccountReady:
        """Why nobody is."""
        with pytest.raises(NoAccountReady) as caught:
            asyncio.run(self.pool.acquire(trip or Trip("")))
        return caught.value


@pytest.mark.parametrize(
    "held", [{"switch": OFF}, {"workspace": OFF}, {"dead_generation": 9}, {"cooldown": cooling(3600)}]
)
def test_an_account_with_a_hindrance_is_passed_over(tmp_path: Path, held: dict[str, Any]) -> None:
    """Active, pinned and bound as it may be; and it is not refreshed either."""
    bench = Bench(tmp_path, account("a", **held, credential=Credential(1, 1, "old", "rt")), account("b"), pinned="a")
    bench.affinity.bind("s", account("a").person_key)
    assert bench.lease(Trip("s")) == "b"
    assert bench.refresh.asked == []


def test_a_near_reset_of_the_only_account_is_waited_for(tmp_path: Path) -> None:
    """Up to WAIT_S, and not a moment longer than that."""
    bench = Bench(tmp_path, account("a", cooldown=cooling(7)))
    assert bench.lease() == "a"
    assert sum(bench.clock.waits) == pytest.approx(7, abs=0.1)
    assert Bench(tmp_path, account("a", cooldown=cooling(WAIT_S + 1))).refusal().code == "usage_limit_reached"


@pytest.mark.parametrize("session", ["", "s"])
def test_all_waits_of_a_turn_together_are_bounded(tmp_path: Path, session: str) -> None:
    """Whoever resets again and again is not waited for again and again, bound as the session may be."""
    bench, trip = Bench(tmp_path, account("a", cooldown=cooling(6))), Trip(session)
    bench.affinity.bind("s", account("a").person_key)
    assert bench.lease(trip) == "a"
    later = Cooldown(int(bench.clock() * 1000) + 6000, "usage_limit_reached", True)
    bench.store.change(lambda book: book.with_account(structs.replace(book.accounts[0], cooldown=later)))
    assert bench.refusal(trip).code == "usage_limit_reached"
    assert sum(bench.clock.waits) <= WAIT_S


def test_a_bound_account_is_waited_for_and_stays_bound(tmp_path: Path) -> None:
    """Its prompt cache is there; a longer outage is bridged and the session stays, a long one moves it."""
    bench = Bench(tmp_path, account("a"), account("b", cooldown=cooling(5)))
    bench.affinity.bind("s", account("b").person_key)
    assert bench.lease(Trip("s")) == "b"

    bench = Bench(tmp_path, account("a"), account("b", cooldown=cooling(600)))
    lease = asyncio.run(bench.pool.acquire(Trip("s")))
    assert (lease.account.key, lease.instead_of, lease.binds) == ("a", account("b").person_key, False)
    bench.clock.now_s += 601
    assert bench.lease(Trip("s")) == "b"

    bench = Bench(tmp_path, account("a"), account("b", cooldown=cooling(7200)))
    bench.affinity.bind("s", account("b").person_key)
    lease = asyncio.run(bench.pool.acquire(Trip("s")))
    assert lease.binds
    asyncio.run(bench.pool.answered(lease, "s"))
    assert bench.affinity.read()["s"].person == account("a").person_key


def test_the_preferred_account_comes_first(tmp_path: Path) -> None:
    """After a reset the same account is asked again, whoever is active."""
    bench = Bench(tmp_path, account("a"), account("b", cooldown=cooling(2)))
    assert bench.lease(prefer=account("b").person_key) == "b"


def test_round_robin_goes_round_in_one_session(tmp_path: Path) -> None:
    """Each turn gets the next account; the place is kept on disk."""
    bench = Bench(tmp_path, account("a"), account("b"), account("c"), strategy="round_robin")
    leased = [bench.lease(Trip("s")) for _ in range(4)]
    assert leased == ["b", "c", "a", "b"]
    again = AccountPool(bench.store, bench.refresh, bench.affinity, strategy="round_robin", clock=bench.clock)
    assert asyncio.run(again.acquire(Trip("s"))).account.key == "c"


def test_an_ended_token_is_renewed_and_a_dead_one_passed_over(tmp_path: Path) -> None:
    """Before anything is sent."""
    ended = account("a", credential=Credential(1, NOW_MS + 30_000, "at", "rt"))
    bench = Bench(tmp_path, ended, account("b"))
    assert bench.lease() == "a"
    bench = Bench(tmp_path, ended, account("b"))
    bench.refresh.dead.add(ended.person_key)
    assert bench.lease() == "b"


def test_an_issuer_that_is_away_is_told_when_nobody_is_left(tmp_path: Path) -> None:
    """No account is blamed for it."""
    bench = Bench(tmp_path, account("a", credential=Credential(1, 1, "at", "rt")))
    bench.refresh.unreachable = True
    with pytest.raises(Unavailable):
        asyncio.run(bench.pool.acquire(Trip("")))
    assert not bench.store.read().accounts[0].needs_login


def test_a_refused_token_is_not_sent_again(tmp_path: Path) -> None:
    """A forced refresh names the generation that was refused."""
    bench, trip = Bench(tmp_path, account("a")), Trip("")
    lease = asyncio.run(bench.pool.acquire(trip))
    assert asyncio.run(bench.pool.renewed(lease, trip))
    assert bench.refresh.asked == [(lease.account.person_key, 1)]
    assert asyncio.run(bench.pool.acquire(trip)).account.credential.generation == 2


def test_an_account_that_cannot_be_renewed_needs_a_login(tmp_path: Path) -> None:
    """There is an access token that was refused, and nothing else."""
    bench, trip = Bench(tmp_path, account("a", credential=Credential(1, NOW_MS * 2, "at", ""))), Trip("")
    bench.refresh.dead.add(account("a").person_key)
    lease = asyncio.run(bench.pool.acquire(trip))
    assert not asyncio.run(bench.pool.renewed(lease, trip))
    assert bench.refusal().code == "accounts_need_login"


def test_a_failure_is_seen_by_the_next_turn_at_once(tmp_path: Path) -> None:
    """What was read a moment ago is not believed when the file changed."""
    bench = Bench(tmp_path, account("a"), account("b"))
    lease = asyncio.run(bench.pool.acquire(Trip("")))
    limit = Failure("used_up", 429, "usage_limit_reached", "", NOW_S + 3600, True)
    asyncio.run(bench.pool.failed(lease, limit))
    assert bench.lease() == "b"


def test_last_used_is_written_once_a_minute(tmp_path: Path) -> None:
    """A turn costs no write of the book."""
    bench = Bench(tmp_path, account("a"))
    lease = asyncio.run(bench.pool.acquire(Trip("")))
    asyncio.run(bench.pool.answered(lease, ""))
    first = bench.store.path.stat().st_mtime_ns
    asyncio.run(bench.pool.answered(lease, ""))
    assert bench.store.path.stat().st_mtime_ns == first
    bench.clock.now_s += 61
    asyncio.run(bench.pool.answered(lease, ""))
    assert bench.store.read().accounts[0].last_used_ms == int(bench.clock() * 1000)


@pytest.mark.parametrize(
    ("held", "code", "resets_in_s"),
    [
        ([], "no_accounts_configured", None),
        ([{"switch": OFF}], "no_enabled_accounts", None),
        ([{"switch": OFF}, {"dead_generation": 1}], "accounts_need_login", None),
        ([{"cooldown": cooling(90)}, {"switch": OFF}], "usage_limit_reached", 90),
        ([{"cooldown": cooling(90)}, {"cooldown": cooling(60)}], "usage_limit_reached", 60),
        ([{"cooldown": cooling(90, believed=False)}], "usage_limit_reached", None),
        ([{"cooldown": cooling(90)}, {"cooldown": cooling(60, "rate_limit_exceeded")}], "accounts_unavailable", None),
        ([{"workspace": OFF}], "accounts_unavailable", None),
        ([{"workspace": OFF}, {"cooldown": cooling(60)}], "usage_limit_reached", 60),
    ],
)
def test_why_nobody_answers(held: list[dict[str, Any]], code: str, resets_in_s: float | None) -> None:
    """429 only when what is left is used up, and an instant only where the backend named it."""
    told = none_ready(Book(tuple(account(f"n{at}", **one) for at, one in enumerate(held))), NOW_MS)
    assert told.code == code
    assert told.resets_at == (None if resets_in_s is None else NOW_S + resets_in_s)


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1s"), (59, "59s"), (61, "1m 1s"), (7200, "120m 0s")])
def test_how_long_is_said(seconds: float, text: str) -> None:
    """Minutes and seconds."""
    assert wait_text(seconds) == text


HELD = st.fixed_dictionaries(
    {},
    optional={
        "switch": st.sampled_from([OFF, Switch()]),
        "workspace": st.sampled_from([OFF, Switch()]),
        "dead_generation": st.sampled_from([-1, 1]),
        "cooldown": st.sampled_from([0.0, 3.0, 30.0, 3000.0]).map(cooling),
        "last_used_ms": st.integers(0, NOW_MS),
    },
)
KINDS = st.sampled_from(["used_up", "throttled", "workspace", "revoked", "expired", "overloaded"])


@settings(max_examples=40)
@given(
    st.lists(HELD, min_size=1, max_size=4),
    st.sampled_from(["sticky", "hybrid", "round_robin"]),
    st.sampled_from(["", "n0", "n1"]),
    st.booleans(),
    st.lists(st.tuples(KINDS, st.sampled_from([1.0, 8.0, 900.0])), max_size=6),
)
def test_nobody_is_asked_who_may_not_be(
    tmp_path_factory: pytest.TempPathFactory,
    held: list[dict[str, Any]],
    strategy: Strategy,
    pinned: str,
    bound: bool,
    failures: list[tuple[Any, float]],
) -> None:
    """Disabled, cooling, workspace-unavailable and dead accounts are never leased, whatever fails on the way."""
    accounts = [account(f"n{at}", **one) for at, one in enumerate(held)]
    bench = Bench(tmp_path_factory.mktemp("pool"), *accounts, strategy=strategy, pinned=pinned)
    if bound:
        bench.affinity.bind("s", accounts[-1].person_key)
    trip = Trip("s")
    for kind, seconds in [*failures, ("overloaded", 1.0)]:
        try:
            lease = asyncio.run(bench.pool.acquire(trip))
        except NoAccountReady:
            break
        now_ms = int(bench.clock() * 1000)
        stored = bench.store.read().get(lease.account.person_key)
        assert stored is not None
        assert stored.hindrance(now_ms) is None
        assert stored.person_key not in trip.tried
        before = stored.cooldown.until_ms
        asyncio.run(bench.pool.failed(lease, Failure(kind, 0, kind, "", bench.clock() + seconds, True), again=True))
        after = bench.store.read().get(lease.account.person_key)
        assert after is not None
        assert after.cooldown.until_ms >= before
        if kind == "overloaded":
            trip.tried.add(lease.account.person_key)
    assert trip.waited_s <= WAIT_S + 0.5
    assert len(bench.store.read().accounts) == len(accounts)


def test_bindings_of_two_processes_are_joined(tmp_path: Path) -> None:
    """Neither loses what the other wrote, the last word stands; a damaged file is an empty one."""
    clock = Clock()
    one, other = AffinityStore(tmp_path, clock=clock), AffinityStore(tmp_path, clock=clock)
    one.bind("s1", "p1")
    other.bind("s2", "p2")
    one.bind("s3", "p3")
    assert {name: bound.person for name, bound in other.read().items()} == {"s1": "p1", "s2": "p2", "s3": "p3"}
    assert one.path.stat().st_mode & 0o777 == 0o600
    one.path.write_bytes(b"[]")
    assert other.read() == {}
    other.bind("s4", "p4")
    assert one.read() == {"s4": Bound(NOW_MS, "p4")}


def test_a_binding_that_cannot_be_written_fails_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once."""
    (tmp_path / "cache").write_text("a file where the folder should be")
    store = AffinityStore(tmp_path, clock=Clock())
    store.bind("s", "p")
    store.bind("s", "p")
    assert len(caplog.records) == 1
    assert store.read() == {}
