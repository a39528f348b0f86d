"""Noting what was handed over: joined, tried again at the end, never in the way of a viewer."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest

from codex_oss.services.delivery_log import DELIVERY_NAME, DeliveryBook
from codex_oss.services.handover import Handover
from codex_oss.services.mission_store import MissionStore
from tests.services.test_delivery_log import KEY, book_of, store

__all__ = ["store"]


def handover_of(store: MissionStore, book: DeliveryBook | None = None, client: str = "client/1") -> Handover:
    """A client that is told of the run."""
    return Handover(book or book_of(store), "run_1", "m_test", "responses", thread_id="t", client=client)


def emitted(store: MissionStore) -> list[list[str]]:
    """The items of each note."""
    emissions = book_of(store).read("m_test", KEY).delivery.emissions
    return [[entry.item for entry in emission.items] for emission in emissions]


async def test_notes_are_joined(store: MissionStore) -> None:
    """What was added between two notes is one event; nothing added is none."""
    handover = handover_of(store)
    for name in ("remark:1", "remark:2"):
        handover.add(name, name)
    await handover.note()
    await handover.note()
    handover.add("report", "r")
    await handover.finish()
    await handover.finish()
    assert emitted(store) == [["remark:1", "remark:2"], ["report"]]


async def test_a_stuck_writer_costs_one_wait_and_loses_nothing(store: MissionStore) -> None:
    """Somebody was stopped while it held the lock: one note waits, the others do not, and the end has all of them."""
    handover = handover_of(store)
    handover.add("remark:1", "a")
    await handover.note()
    holder = os.open(store.run_folder("run_1") / DELIVERY_NAME, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    began = time.monotonic()
    for number in range(2, 12):
        handover.add(f"remark:{number}", "x")
        await handover.note()
    assert time.monotonic() - began < 4
    os.close(holder)
    await handover.finish()
    assert emitted(store) == [["remark:1"], [f"remark:{number}" for number in range(2, 12)]]


@pytest.mark.parametrize("client", ["codex\x1b[2J/1\nx", "c" * 500, "sk-proj-secret"])
def test_what_a_client_calls_itself_is_bounded_and_redacted(store: MissionStore, tmp_path: Path, client: str) -> None:
    """It is the client's word: no control characters, not without end, no secret."""
    book = DeliveryBook(store, redacted=lambda text: text.replace("secret", "[REDACTED]"))
    handover = handover_of(store, book, client)
    handover.add("remark:1", "a")
    handover.finish_now()
    (emission,) = book_of(store, b"").read("m_test").delivery.emissions
    assert len(emission.client) <= 100
    assert not {"\x1b", "\n"} & set(emission.client)
    assert "secret" not in emission.client
