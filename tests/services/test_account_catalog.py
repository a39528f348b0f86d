"""The catalogs of accounts: tags, ages, shards of others, rude backends, routing by slug."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from codex_oss.accounts.account import Account, Credential, Switch
from codex_oss.accounts.book import Meant
from codex_oss.policy.outbound import AccountBackend
from codex_oss.services.account_catalog import AGAIN_S, SYNC_S, TTL_S, AccountCatalog, shard_key
from codex_oss.services.account_store import AccountStore
from codex_oss.services.backend_reads import BackendReads, Identity
from codex_oss.services.client_version import BUILT_IN, ClientVersion
from tests.fakes.chatgpt_catalog import ChatGptCatalog, Reply, challenge, entry
from tests.services.test_quota_poll import NOW, Clock, Fresh

SPAWN = multiprocessing.get_context("spawn")


def person(name: str, account_id: str, **more: Any) -> Account:
    """Somebody with a token that lasts."""
    return Account(
        key=f"{account_id}|{name}@x.y|plus",
        account_id=account_id,
        email=f"{name}@x.y",
        plan="plus",
        switch=more.pop("switch", Switch(1)),
        credential=Credential(1, int(NOW * 1000) + 10**9, f"{name}-access", "refresh"),
        **more,
    )


ANN, BOB = person("ann", "acc1"), person("bob", "acc2")


class Known:
    """A client version that is known. asked: how often."""

    def __init__(self) -> None:
        self.asked = 0

    async def version(self) -> str:
        """0.170.1."""
        self.asked += 1
        return "0.170.1"


class World:
    """A store with Ann and Bob, their catalogs, and a backend."""

    def __init__(self, folder: Path, backend: ChatGptCatalog) -> None:
        self.backend = backend
        self.clock = Clock()
        self.store = AccountStore(folder)
        self.put(ANN, BOB)
        self.refresh = Fresh(self.store)
        self.reads = BackendReads(AccountBackend(backend.url))
        self.versions = Known()
        self.catalog = self.another()

    def another(self) -> AccountCatalog:
        """The catalog of another process."""
        folder = self.store.folder
        return AccountCatalog(folder, self.refresh, self.store, self.reads, self.versions, clock=self.clock)

    def put(self, *accounts: Account) -> None:
        """Put accounts into the book."""
        for account in accounts:
            self.store.change(lambda book, account=account: book.with_account(account))  # type: ignore[misc]

    async def settled(self) -> None:
        """Wait for what is under way."""
        while self.catalog._under_way:
            await asyncio.wait(list(self.catalog._under_way.values()))

    def slugs(self) -> list[str]:
        """What is listed."""
        return [model["slug"] for model in self.catalog.models()]

    def shard(self, account: Account = ANN) -> Path:
        """Where an account's catalog lies."""
        return self.store.folder / "cache" / f"codex-auth-models-{shard_key(account)}.json"

    def asked(self) -> list[tuple[str, str]]:
        """Version and condition of each request."""
        seen = self.backend.asked("codex/models")
        return [(one.query.get("client_version", ""), one.headers.get("if-none-match", "")) for one in seen]


@pytest.fixture
def backend() -> Iterator[ChatGptCatalog]:
    """A backend with a model for everybody and one for Bob."""
    with ChatGptCatalog() as backend:
        backend.models["acc2"] = [entry("gpt-5"), entry("gpt-5-pro", priority=2)]
        yield backend


@pytest.fixture
async def world(tmp_path: Path, backend: ChatGptCatalog) -> AsyncIterator[World]:
    """The world, closed at the end."""
    world = World(tmp_path, backend)
    yield world
    await world.settled()
    await world.reads.aclose()


async def test_what_is_asked_kept_and_listed(world: World) -> None:
    """The full catalog, with the headers of the account; only what is visible is listed; the file is the user's own."""
    assert world.slugs() == []
    await world.catalog.soon(ANN.person_key)
    (seen,) = world.backend.seen
    assert seen.query == {"client_version": "0.0.0"}
    assert {name: seen.headers[name] for name in ("authorization", "chatgpt-account-id", "originator", "version")} == {
        "authorization": "Bearer ann-access",
        "chatgpt-account-id": "acc1",
        "originator": "codex_oss",
        "version": "0.0.0",
    }
    assert seen.headers["openai-beta"] == "responses=experimental"
    assert world.slugs() == ["gpt-5"]
    assert "catalog_source" not in world.catalog.models()[0]
    assert world.shard().name == "codex-auth-models-b44bedcb1d030572.json"
    assert stat.S_IMODE(world.shard().stat().st_mode) == 0o600
    assert "ann-access" not in world.shard().read_text()
    assert world.versions.asked == 0


async def test_many_askers_are_one_request(world: World) -> None:
    """At once, and until the catalog is old; another process asks nobody either."""
    await asyncio.gather(*(world.catalog.soon(ANN.person_key) for _ in range(8)))
    world.clock.now += TTL_S - 1
    await world.catalog.soon(ANN.person_key)
    await world.another().soon(ANN.person_key)
    assert len(world.backend.seen) == 1


@pytest.mark.parametrize("with_etag", [True, False])
async def test_an_old_catalog_is_asked_for_anew(world: World, with_etag: bool) -> None:
    """With its tag where it has one; nobody waits, and the same answer makes it young again."""
    world.backend.with_etag = with_etag
    await world.catalog.soon(ANN.person_key)
    etag = world.backend.etag("acc1")
    world.clock.now += TTL_S
    assert [model["catalog_source"] for model in world.catalog.models()] == ["stale"]
    await world.catalog.soon(ANN.person_key)
    await world.settled()
    assert world.asked() == [("0.0.0", ""), ("0.0.0", etag)]
    assert json.loads(world.shard().read_text())["fetchedAt"] == int(world.clock.now * 1000)
    assert world.slugs() == ["gpt-5"]
    assert "catalog_source" not in world.catalog.models()[0]


async def test_a_new_tag_of_an_answer_makes_it_due(world: World) -> None:
    """Whichever way it is quoted; the tag that is known does not, nor a second time where the list has another tag."""
    await world.catalog.soon(ANN.person_key)
    world.clock.now += SYNC_S
    for known in (world.backend.etag("acc1"), f"W/{world.backend.etag('acc1')}", world.backend.etag("acc1").strip('"')):
        await world.catalog.soon(ANN.person_key, known)
    assert len(world.backend.seen) == 1
    world.backend.models["acc1"] = [entry("gpt-6")]
    await world.catalog.soon(ANN.person_key, '"another"')
    await world.settled()
    assert world.slugs() == ["gpt-6"]
    world.clock.now += SYNC_S
    await world.catalog.soon(ANN.person_key, "another")
    await world.settled()
    assert len(world.backend.seen) == 2


async def test_a_backend_that_wants_a_version(world: World) -> None:
    """The real one is asked for only then; its tag goes with it and with nothing else."""
    world.backend.models_need_version = True
    await world.catalog.soon(ANN.person_key)
    assert world.asked() == [("0.0.0", ""), ("0.170.1", "")]
    assert world.slugs() == ["gpt-5"]
    world.clock.now += TTL_S
    await world.catalog.soon(ANN.person_key)
    await world.settled()
    assert world.asked()[2:] == [("0.0.0", ""), ("0.170.1", world.backend.etag("acc1"))]


BAD = [
    challenge(),
    Reply(401, b'{"error":{"code":"token_revoked"}}'),
    Reply(429),
    Reply(503, b"<html>"),
    Reply(200, b"<html>"),
    Reply(200, b'{"models": []}'),
    Reply(200, b'{"models": [{"slug": 7}, null]}'),
    Reply(304),
    Reply(302, b"", {"location": "http://127.0.0.1:9/"}),
]


@pytest.mark.parametrize("reply", BAD)
async def test_what_is_known_stays_known(world: World, reply: Reply) -> None:
    """However old, whatever the backend answers, flagged; the account is not blamed; the next try is not far."""
    await world.catalog.soon(ANN.person_key)
    world.clock.now += 10 * TTL_S
    if reply.status != 304:
        world.backend.trouble["codex/models"] = [reply] * 2
        await world.catalog.soon(ANN.person_key)
        await world.settled()
        assert [(model["slug"], model["catalog_source"]) for model in world.catalog.models()] == [("gpt-5", "stale")]
    assert world.store.read().get(ANN.person_key) == ANN
    world.backend.trouble.clear()
    world.clock.now += AGAIN_S
    await world.catalog.soon(ANN.person_key)
    await world.settled()
    assert "catalog_source" not in world.catalog.models()[0]


@pytest.mark.parametrize("reply", BAD)
async def test_nothing_is_made_up(world: World, reply: Reply) -> None:
    """Without a catalog nothing is listed, any account may have a model, and nothing is raised."""
    world.backend.trouble["codex/models"] = [reply] * 4
    await world.catalog.soon(ANN.person_key)
    assert world.slugs() == []
    assert world.catalog.serves("gpt-5") is None
    assert not world.shard().exists()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"fetchedAt": "x", "models": []}', b"\0" * 90])
async def test_a_shard_that_is_none_is_not_there(world: World, data: bytes) -> None:
    """It is asked for, and written anew."""
    world.shard().parent.mkdir()
    world.shard().write_bytes(data)
    assert world.slugs() == []
    await world.catalog.soon(ANN.person_key)
    assert world.slugs() == ["gpt-5"]
    assert json.loads(world.shard().read_text())["models"][0]["slug"] == "gpt-5"


async def test_a_shard_with_junk_costs_the_junk(world: World) -> None:
    """A person edited it, or an older version wrote it: what can be read of it is."""
    world.shard().parent.mkdir()
    models = [{"slug": "gpt-4", "visibility": "list", "context_window": 9, "priority": "x"}, {"slug": 3}]
    world.shard().write_text(json.dumps({"fetchedAt": int(NOW * 1000), "models": models}))
    assert world.slugs() == ["gpt-4"]


async def test_where_nothing_can_be_written_it_is_remembered(world: World) -> None:
    """And not asked for with every turn."""
    (world.store.folder / "cache").write_text("in the way")
    await world.catalog.soon(ANN.person_key)
    assert world.slugs() == ["gpt-5"]
    await world.catalog.soon(ANN.person_key)
    assert len(world.backend.seen) == 1


async def test_a_clock_that_was_ahead(world: World) -> None:
    """A shard from the future is old, and gives way."""
    await world.catalog.soon(ANN.person_key)
    world.clock.now -= 10 * TTL_S
    world.backend.models["acc1"] = [entry("gpt-6")]
    fresh = world.another()
    await fresh.soon(ANN.person_key)
    await asyncio.gather(*fresh._under_way.values())
    assert [model["slug"] for model in fresh.models()] == ["gpt-6"]


async def test_routing_by_slug(world: World) -> None:
    """Who has it, and who is not known; nobody's model is for the backend to judge. Hidden ones route, too."""
    assert world.catalog.serves("gpt-5-pro") is None
    await world.catalog.soon(BOB.person_key)
    assert world.catalog.serves("gpt-5-pro") == frozenset({ANN.person_key, BOB.person_key})
    await world.catalog.soon(ANN.person_key)
    assert world.catalog.serves("GPT-5-Pro") == frozenset({BOB.person_key})
    assert world.catalog.serves("gpt-5") == frozenset({ANN.person_key, BOB.person_key})
    assert world.catalog.serves("gpt-secret") == frozenset({ANN.person_key})
    assert world.catalog.serves("gpt-99") is None
    carl = person("carl", "acc1")
    world.put(carl)
    assert world.catalog.serves("gpt-secret") == frozenset({ANN.person_key, carl.person_key})


async def test_the_list_is_of_those_who_can_answer(world: World) -> None:
    """All usable accounts are asked together; the models of one that is disabled are gone."""
    world.store.change(lambda book: structs.replace(book, active=Meant(1, BOB.person_key)))
    world.backend.models["acc2"][0]["description"] = "Bob's"
    await world.catalog.all_soon(30)
    assert world.slugs() == ["gpt-5-pro", "gpt-5"]
    assert world.catalog.models()[1]["description"] == "Bob's"
    world.put(structs.replace(BOB, switch=Switch(2, False)))
    assert world.slugs() == ["gpt-5"]
    await world.catalog.soon(BOB.person_key)
    assert len(world.backend.seen) == 2


async def test_who_asks_is_what_the_user_chose(world: World) -> None:
    """The official client's name only by explicit setting, and then without the header that it does not send."""
    world.reads.identity = Identity("codex_cli_rs", "codex_cli_rs/0.170.1")
    await world.catalog.soon(ANN.person_key)
    (seen,) = world.backend.seen
    assert seen.headers["user-agent"] == "codex_cli_rs/0.170.1"
    assert "openai-beta" not in seen.headers


def fetch_once(folder: Path, url: str) -> None:
    """One process that wants Ann's catalog."""

    async def main() -> None:
        store, clock = AccountStore(folder), Clock()
        reads = BackendReads(AccountBackend(url))
        catalog = AccountCatalog(folder, Fresh(store), store, reads, Known(), clock=clock)
        await catalog.soon(ANN.person_key)
        assert [model["slug"] for model in catalog.models()] == ["gpt-5"]
        await reads.aclose()

    asyncio.run(main())


async def test_processes_share_a_shard(world: World) -> None:
    """All at once write whole files; who comes later asks nobody."""
    folder = world.store.folder
    others = [SPAWN.Process(target=fetch_once, args=(folder, world.backend.url)) for _ in range(4)]
    for other in others:
        other.start()
    for other in others:
        await asyncio.to_thread(other.join, 60)
    assert [other.exitcode for other in others] == [0] * 4
    asked = len(world.backend.seen)
    await world.catalog.soon(ANN.person_key)
    assert len(world.backend.seen) == asked
    assert world.slugs() == ["gpt-5"]


async def test_the_version_of_the_client(tmp_path: Path) -> None:
    """Looked up once in an hour; what was found stays when it cannot be; without any it is built in."""
    clock, found = Clock(), ["codex-cli 0.171.2\n", "", "\x1b]"]

    def installed() -> str:
        return found.pop(0)

    client = ClientVersion(tmp_path, installed=installed, clock=clock)
    assert [await client.version() for _ in range(3)] == ["0.171.2"] * 3
    clock.now += 3601
    assert await ClientVersion(tmp_path, installed=installed, clock=clock).version() == "0.171.2"
    client.path.write_text("{")
    assert await client.version() == BUILT_IN
    assert found == []
