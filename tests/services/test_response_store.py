"""Stored responses on a real file: durability, sharing, expiry, and files that are not what they should be."""

# ruff: noqa: ASYNC220, ASYNC240 (nothing else runs on the loop of these tests)

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from codex_oss.errors import StoreError
from codex_oss.services.response_rows import Bounds
from codex_oss.services.response_store import ResponseStore
from codex_oss.wire.stored_items import history_of
from tests.services.test_response_rows import PLENTY, turn

Open = Callable[..., ResponseStore]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store lies."""
    return tmp_path / "project" / "state" / "responses.sqlite3"


@pytest.fixture
async def open_store(path: Path) -> AsyncIterator[Open]:
    """Opens stores on `path`; they are closed at the end."""
    stores = []

    def opened(bounds: Bounds = PLENTY, **options: object) -> ResponseStore:
        store = ResponseStore(path, bounds, **{"ours": True, "pause_s": 0.0, **options})  # type: ignore[arg-type]
        stores.append(store)
        return store

    yield opened
    for store in stores:
        await store.aclose()


async def history(store: ResponseStore, number: int) -> list[str] | None:
    """The texts and answer ids of a chain, by their numbers; None when it is not stored."""
    chain = await store.chain(f"resp_{number}", 1 << 30)
    return None if chain is None else [str(item.get("id") or item["content"]) for item in history_of(chain.turns)]


async def test_kept_privately_and_across_a_restart(open_store: Open, path: Path) -> None:
    """Folder 0700, files 0600; a second store on the same file has everything."""
    store = open_store()
    await store.keep(turn(1))
    await store.keep(turn(2, 1))
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    assert store.facts.responses == 2
    await store.aclose()
    again = open_store()
    assert await again.response("resp_2") == turn(2).response
    assert await history(again, 2) == ["ask 1 xxxxx", "msg_1_0", "ask 2 xxxxx", "msg_2_0"]


async def test_nothing_is_made_before_it_is_used(open_store: Open, path: Path) -> None:
    """A bridge whose clients store nothing leaves no file."""
    store = open_store()
    await store.aclose()
    assert not path.parent.exists()


async def test_expiry(open_store: Open, path: Path) -> None:
    """After its time a response is gone at once, and with the next write also from the file."""
    now = [1000.0]
    store = open_store(Bounds(1.0, 10, 1 << 20), clock=lambda: now[0])
    await store.keep(turn(1))
    now[0] += 0.9
    assert await store.response("resp_1") is not None
    now[0] += 0.1
    assert await store.response("resp_1") is None
    assert await store.delete("resp_1") is False
    await store.keep(turn(2))
    await store.aclose()
    assert b"ask 1" not in b"".join(file.read_bytes() for file in path.parent.iterdir())


async def test_what_is_deleted_is_overwritten(open_store: Open, path: Path) -> None:
    """The bytes of a deleted response are at once in none of the files any more."""
    store = open_store()
    await store.keep(turn(1, size=9000))
    assert b"ask 1" in b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert await store.delete("resp_1") is True
    assert await store.response("resp_1") is None
    assert b"ask 1" not in b"".join(file.read_bytes() for file in path.parent.iterdir())


async def test_two_bridges_share_a_file(open_store: Open) -> None:
    """Both write at once and each finds what the other kept."""
    stores = (open_store(), open_store())
    await asyncio.gather(*(stores[number % 2].keep(turn(number)) for number in range(60)))
    for store in stores:
        assert None not in [await store.response(f"resp_{number}") for number in range(60)]
    assert await stores[0].delete("resp_7")
    assert await stores[1].response("resp_7") is None


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "noise": lambda _: b"this is no database " * 500,
    "half": lambda data: data[: len(data) // 2 + 100],
    "rotten pages": lambda data: data[:4096] + bytes(255 for _ in data[4096:]),
    "foreign tables": lambda data: data.replace(b"CREATE TABLE totals", b"CREATE TABLE tutals"),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_file_is_moved_aside(
    open_store: Open, path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One line in the log, the old bytes under another name, and the bridge goes on without the old responses."""
    store = open_store()
    await store.keep(turn(1))
    await store.aclose()
    broken = DAMAGES[damage](path.read_bytes())
    path.write_bytes(broken)
    caplog.set_level(logging.WARNING)
    store = open_store()
    assert await store.response("resp_1") is None
    await store.keep(turn(2))
    assert await store.response("resp_2") is not None
    (aside,) = (file for file in path.parent.iterdir() if ".damaged-" in file.name)
    assert aside.read_bytes() == broken
    (record,) = caplog.records
    assert "start anew" in record.message
    assert record.exc_info is None


async def test_damage_while_open(open_store: Open, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Pages that rot under a running bridge cost the old responses and nothing else."""
    store = open_store()
    for number in range(50):
        await store.keep(turn(number, size=3000))
    await store.aclose()
    store = open_store()
    await store.keep(turn(99))
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    await store.aclose()
    store = open_store()
    for number in range(100, 110):
        await store.keep(turn(number))
    assert await store.response("resp_109") is not None
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1


async def test_a_file_that_vanishes(open_store: Open, path: Path) -> None:
    """Whoever removes the file or the folder under a running bridge removes the responses, not the bridge."""
    store = open_store()
    await store.keep(turn(1))
    for file in path.parent.iterdir():
        file.unlink()
    path.parent.rmdir()
    assert await store.response("resp_1") is None
    await store.keep(turn(2))
    assert await store.response("resp_2") is not None


async def test_a_file_of_somebody_else_is_left_alone(
    open_store: Open, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A path outside our folder that names another program's database or a text: refused, byte for byte as before."""
    path.parent.mkdir(parents=True)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE customers (name TEXT)")
    connection.commit()
    connection.close()
    database = path.read_bytes()
    for theirs in (database, b"Dear diary, " * 1000):
        path.write_bytes(theirs)
        store = open_store(ours=False)
        await store.keep(turn(1))
        with pytest.raises(StoreError, match="cannot be used"):
            await store.response("resp_1")
        assert path.read_bytes() == theirs
        assert [file.name for file in path.parent.iterdir()] == [path.name]
        assert store.facts.problem
    assert {record.exc_info for record in caplog.records} == {None}


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "second name"])
async def test_only_a_plain_file_is_opened(open_store: Open, path: Path, kind: str) -> None:
    """A link, a FIFO, a folder, or a file with a second name in its place: refused, nothing behind it is touched."""
    path.parent.mkdir(parents=True)
    other = path.parent.parent / "other"
    other.write_bytes(b"")
    match kind:
        case "link":
            path.symlink_to(other)
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case _:
            path.hardlink_to(other)
    store = open_store()
    await store.keep(turn(1))
    with pytest.raises(StoreError):
        await store.response("resp_1")
    assert other.read_bytes() == b""


async def test_a_locked_file(open_store: Open, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While another program holds the file, turns are not kept and nobody waits long; afterwards all is well."""
    store = open_store()
    await store.keep(turn(1))
    await store.aclose()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    store = open_store(pause_s=3600.0)
    await store.keep(turn(2))
    for _ in range(50):
        with pytest.raises(StoreError, match="locked"):
            await store.response("resp_1")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    holder.execute("ROLLBACK")
    holder.close()
    fresh = open_store()
    assert await fresh.response("resp_1") is not None
    assert await fresh.response("resp_2") is None


async def test_more_than_the_disk_can_take(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """When too much waits for the thread, turns are not kept and reads are refused, instead of memory filling up."""
    monkeypatch.setattr("codex_oss.services.response_store.MAX_WAITING", 0)
    store = open_store()
    await store.keep(turn(1))
    with pytest.raises(StoreError, match="keep up"):
        await store.response("resp_1")


async def test_a_turn_that_cannot_be_encoded_is_a_line_in_the_log(
    open_store: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """`keep` never raises, whatever it is given."""
    store = open_store()
    bad = turn(1)
    bad.response["tools"] = [object()]
    await store.keep(bad)
    assert "resp_1 is not kept" in caplog.text
    await store.keep(turn(2))
    assert await store.response("resp_2") is not None


WRITER = """
import asyncio, sys
from pathlib import Path
from codex_oss.services.response_store import ResponseStore
from tests.services.test_response_rows import PLENTY, turn

async def main() -> None:
    store = ResponseStore(Path(sys.argv[1]), PLENTY, ours=True)
    first = int(sys.argv[2])
    for number in range(first, first + 100_000):
        await store.keep(turn(number, number - 1 if number > first else None, size=2000))
        print(number, flush=True)

asyncio.run(main())
"""


async def test_sigkill_loses_nothing_that_was_kept(open_store: Open, path: Path) -> None:
    """Killed at any time, the file is sound and every turn that `keep` returned for is there with its history."""
    last: list[int] = []
    for run, turns in enumerate((1, 7, 40, 90)):
        command = [sys.executable, "-c", WRITER, str(path), str(run * 1_000_000)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(turns):
                number = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
        last.append(number)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    store = open_store()
    for run, number in enumerate(last):
        kept = await history(store, number)
        assert kept is not None
        assert len(kept) == 2 * (number - run * 1_000_000 + 1)
