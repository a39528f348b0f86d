"""The rows of stored responses: one SQLite file, read and written inside one thread.

Counterparts: `services.response_store` owns the thread and the file's troubles; nothing else calls this.

    turns       who continues whom, how long it may be retrieved, how many bytes it holds
    contents    what a turn added: its new input items and its output items
    envelopes   the response object without its output; gone when the response may no longer be retrieved
    running     which process works on a turn that has not ended; see `Row.owner`
    totals      one row: how many responses may be retrieved, how many bytes all turns hold

Rules that hold here:

1. A turn stores what is new and the turn before it, so a chain of n turns takes the room of n turns.
2. A turn is removed only when no other continues it. One that was deleted, expired or crowded out before that is
   hidden: it cannot be retrieved or continued, its items stay as the context of its children, and it goes with the
   last of them. So a stored turn always has its whole history.
3. All bounds hold after each `put`, in the same transaction: expired ones go, then the oldest beyond the count are
   hidden, then the oldest turns that nobody continues are removed until the bytes fit. That may be the new one.
4. A turn may be put twice: once while it runs, and once with its end. Whatever ended is never changed.
5. A parent is older than its child (`seq` rises), so no chain is a circle, whatever the file holds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import msgspec
from msgspec import Struct

from codex_oss.wire.stored_items import RawItem, TurnItems

APPLICATION_ID: Final = 0x434F5353
"""Marks a file as ours, at byte 68 of its header."""
ROW_BYTES: Final = 512
"""Counted for each turn beside its texts, so that many empty turns have a weight too."""
MAX_PURGED: Final = 500
"""Expired responses that one write takes away; a write adds one."""

SCHEMA: Final = (
    """CREATE TABLE turns (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, parent INTEGER, children INTEGER NOT NULL,
        visible INTEGER NOT NULL, expires_at REAL NOT NULL, model TEXT NOT NULL, status TEXT NOT NULL,
        content_bytes INTEGER NOT NULL, envelope_bytes INTEGER NOT NULL, chain_bytes INTEGER NOT NULL)""",
    "CREATE TABLE contents (seq INTEGER PRIMARY KEY, items BLOB NOT NULL, output BLOB NOT NULL)",
    "CREATE TABLE envelopes (seq INTEGER PRIMARY KEY, response BLOB NOT NULL)",
    "CREATE TABLE totals (responses INTEGER NOT NULL, bytes INTEGER NOT NULL)",
    "CREATE INDEX leaves ON turns (seq) WHERE children = 0",
    "CREATE INDEX retrievable ON turns (seq) WHERE visible = 1",
    "CREATE INDEX expiring ON turns (expires_at) WHERE visible = 1",
    "CREATE TABLE running (seq INTEGER PRIMARY KEY, owner TEXT NOT NULL)",
)
BEFORE_RUNNING: Final = SCHEMA[:-1]
"""Files of 2026-11 and before lack the last table; it is added to them."""
_CHAIN: Final = """
    WITH RECURSIVE chain (seq, id, parent) AS (
        SELECT seq, id, parent FROM turns WHERE seq = ?
        UNION ALL
        SELECT before.seq, before.id, before.parent FROM chain JOIN turns AS before
        ON before.seq = chain.parent AND before.seq < chain.seq)
    SELECT chain.id, contents.items, contents.output FROM chain JOIN contents USING (seq) ORDER BY seq"""


class Foreign(sqlite3.DatabaseError):
    """The file is a database, but not one of ours."""


class Bounds(Struct, frozen=True):
    """What may be kept. ttl_s: seconds that a response can be retrieved."""

    ttl_s: float
    max_responses: int
    max_bytes: int


class StoredTurn(Struct, frozen=True):
    """A turn to keep. response: its object as the client got it; parent_id: the response that it continues."""

    response_id: str
    parent_id: str | None
    items: Sequence[RawItem]
    response: dict[str, Any]
    owner: str = ""
    """The mark of the process that works on it (`process_handle.process_mark`); empty when it ended."""


class Row(Struct, frozen=True):
    """A turn as it is written: texts as JSON. envelope: the response object without its output."""

    response_id: str
    parent_id: str | None
    model: str
    status: str
    items: bytes
    output: bytes
    envelope: bytes
    owner: str = ""


class Chain(Struct, frozen=True):
    """A stored turn with everything before it. turns: the first one first, the asked one last."""

    model: str
    status: str
    turns: list[TurnItems]
    chain_bytes: int
    """Size of all items; above the reader's limit `turns` is empty."""


def set_up(connection: sqlite3.Connection) -> None:
    """Make a fresh file ours, or see that it is. Raises Foreign; sqlite3.DatabaseError for a file that is none."""
    connection.execute("PRAGMA trusted_schema = OFF")
    if _schema(connection) in ([], list(BEFORE_RUNNING)):
        with writing(connection):
            if _schema(connection) == list(BEFORE_RUNNING):
                connection.execute(SCHEMA[-1])
            elif _schema(connection) == []:
                if connection.execute("PRAGMA application_id").fetchone()[0] not in (0, APPLICATION_ID):
                    raise Foreign("it belongs to another program")
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                for statement in SCHEMA:
                    connection.execute(statement)
                connection.execute("INSERT INTO totals VALUES (0, 0)")
    if _schema(connection) != list(SCHEMA):
        raise Foreign("its tables are not those of this version")
    with suppress(sqlite3.OperationalError):
        # Busy while another bridge does the same: then it is done.
        connection.execute("PRAGMA journal_mode = WAL")
    # In WAL mode NORMAL survives every kill of the process; a power cut may cost the last turns, never the file.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA journal_size_limit = 4194304")


def _schema(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid").fetchall()
    return [row[0] for row in rows]


@contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """One write transaction; rolled back by any exception."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def row_of(turn: StoredTurn) -> Row:
    """Encode a turn for `put`."""
    envelope = {key: value for key, value in turn.response.items() if key != "output"}
    return Row(
        turn.response_id,
        turn.parent_id,
        turn.response["model"],
        turn.response["status"],
        msgspec.json.encode(turn.items),
        msgspec.json.encode(turn.response["output"]),
        msgspec.json.encode(envelope),
        turn.owner,
    )


def put(connection: sqlite3.Connection, row: Row, now: float, bounds: Bounds) -> str:
    """Keep a turn and the bounds. Returns why it was not kept, "" when it was."""
    content_bytes = len(row.items) + len(row.output) + ROW_BYTES
    if content_bytes + len(row.envelope) > bounds.max_bytes:
        return "it is larger than the whole store may be"
    with writing(connection):
        known = connection.execute("SELECT seq FROM turns WHERE id = ?", (row.response_id,)).fetchone()
        if known and not _end(connection, known[0], row, now, bounds):
            return "it is kept already"
        if known:
            return ""
        parent = _parent(connection, row.parent_id)
        if parent is None:
            return "the response that it continues is gone"
        parent_seq, before = parent
        sizes = (content_bytes, len(row.envelope), before + content_bytes)
        seq = connection.execute(
            "INSERT INTO turns VALUES (NULL, ?, ?, 0, 1, ?, ?, ?, ?, ?, ?)",
            (row.response_id, parent_seq, now + bounds.ttl_s, row.model, row.status, *sizes),
        ).lastrowid
        connection.execute("INSERT INTO contents VALUES (?, ?, ?)", (seq, row.items, row.output))
        connection.execute("INSERT INTO envelopes VALUES (?, ?)", (seq, row.envelope))
        if row.owner:
            connection.execute("INSERT INTO running VALUES (?, ?)", (seq, row.owner))
        connection.execute("UPDATE turns SET children = children + 1 WHERE seq = ?", (parent_seq,))
        _count(connection, responses=1, size=content_bytes + len(row.envelope))
        _keep_bounds(connection, now, bounds)
    return ""


def _end(connection: sqlite3.Connection, seq: int, row: Row, now: float, bounds: Bounds) -> bool:
    """Put the end of a turn that ran; False for one that ended already. Nobody continues a turn that runs."""
    if not connection.execute("DELETE FROM running WHERE seq = ?", (seq,)).rowcount:
        return False
    before, envelope_bytes = connection.execute(
        "SELECT content_bytes, envelope_bytes FROM turns WHERE seq = ?", (seq,)
    ).fetchone()
    content_bytes = len(row.items) + len(row.output) + ROW_BYTES
    connection.execute(
        "UPDATE turns SET status = ?, expires_at = ?, content_bytes = ?, envelope_bytes = ?, "
        "chain_bytes = chain_bytes + ? WHERE seq = ?",
        (row.status, now + bounds.ttl_s, content_bytes, len(row.envelope), content_bytes - before, seq),
    )
    connection.execute("UPDATE contents SET output = ? WHERE seq = ?", (row.output, seq))
    connection.execute("UPDATE envelopes SET response = ? WHERE seq = ?", (row.envelope, seq))
    if row.owner:
        connection.execute("INSERT INTO running VALUES (?, ?)", (seq, row.owner))
    _count(connection, responses=0, size=content_bytes - before + len(row.envelope) - envelope_bytes)
    _keep_bounds(connection, now, bounds)
    return True


def _parent(connection: sqlite3.Connection, response_id: str | None) -> tuple[int | None, int] | None:
    """The turn to continue and the size of its chain; (None, 0) for a first turn, None for one that is gone."""
    if response_id is None:
        return None, 0
    query = "SELECT seq, chain_bytes FROM turns WHERE id = ?"
    row: tuple[int, int] | None = connection.execute(query, (response_id,)).fetchone()
    return row


def delete(connection: sqlite3.Connection, response_id: str, now: float) -> bool:
    """Make a response irretrievable; False when it was already."""
    with writing(connection):
        row = _visible(connection, response_id, now)
        if row is None:
            return False
        _hide(connection, row[0])
    # The zeroed pages are in the log of pending writes until now, and the old ones in the file.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return True


def read_response(connection: sqlite3.Connection, response_id: str, now: float) -> tuple[dict[str, Any], str] | None:
    """The response object as its client got it, and who works on it still; None for one that is not stored."""
    row = _visible(connection, response_id, now)
    found = (
        row
        and connection.execute(
            "SELECT response, output, ifnull(owner, '') FROM envelopes JOIN contents USING (seq) "
            "LEFT JOIN running USING (seq) WHERE seq = ?",
            (row[0],),
        ).fetchone()
    )
    if not found:
        return None
    value = {**msgspec.json.decode(found[0], type=dict[str, Any]), "output": msgspec.json.decode(found[1])}
    return value, found[2]


def read_chain(connection: sqlite3.Connection, response_id: str, now: float, max_bytes: int) -> Chain | None:
    """A turn and everything before it; None for one that is not stored."""
    row = _visible(connection, response_id, now)
    if row is None:
        return None
    seq, model, status, chain_bytes = row
    rows = connection.execute(_CHAIN, (seq,)).fetchall() if chain_bytes <= max_bytes else []
    return Chain(model, status, [_turn_items(*row) for row in rows], chain_bytes)


def read_items(connection: sqlite3.Connection, response_ids: Sequence[str], now: float) -> list[TurnItems]:
    """The items that each of these turns added; those that are not stored are left out."""
    found = []
    for response_id in response_ids:
        row = _visible(connection, response_id, now)
        if row is not None:
            query = "SELECT items, output FROM contents WHERE seq = ?"
            found.append(_turn_items(response_id, *connection.execute(query, (row[0],)).fetchone()))
    return found


def read_totals(connection: sqlite3.Connection) -> tuple[int, int]:
    """How many responses may be retrieved, and how many bytes all turns hold."""
    responses, size = connection.execute("SELECT responses, bytes FROM totals").fetchone()
    return responses, size


def _turn_items(response_id: str, items: bytes, output: bytes) -> TurnItems:
    return TurnItems(
        response_id,
        msgspec.json.decode(items, type=list[dict[str, Any]]),
        msgspec.json.decode(output, type=list[dict[str, Any]]),
    )


def _visible(connection: sqlite3.Connection, response_id: str, now: float) -> tuple[int, str, str, int] | None:
    row: tuple[int, str, str, int] | None = connection.execute(
        "SELECT seq, model, status, chain_bytes FROM turns WHERE id = ? AND visible = 1 AND expires_at > ?",
        (response_id, now),
    ).fetchone()
    return row


def _keep_bounds(connection: sqlite3.Connection, now: float, bounds: Bounds) -> None:
    expired = connection.execute(
        "SELECT seq FROM turns WHERE visible = 1 AND expires_at <= ? ORDER BY expires_at LIMIT ?", (now, MAX_PURGED)
    ).fetchall()
    for (seq,) in expired:
        _hide(connection, seq)
    beyond = read_totals(connection)[0] - bounds.max_responses
    oldest = "SELECT seq FROM turns WHERE visible = 1 ORDER BY seq LIMIT ?"
    for (seq,) in connection.execute(oldest, (max(0, beyond),)).fetchall():
        _hide(connection, seq)
    while read_totals(connection)[1] > bounds.max_bytes:
        (seq,) = connection.execute("SELECT seq FROM turns WHERE children = 0 ORDER BY seq LIMIT 1").fetchone()
        _remove(connection, seq)


def _hide(connection: sqlite3.Connection, seq: int) -> None:
    """Take a response out of sight; its items go with the last turn that continues it."""
    children, size = connection.execute("SELECT children, envelope_bytes FROM turns WHERE seq = ?", (seq,)).fetchone()
    if not children:
        _remove(connection, seq)
        return
    connection.execute("DELETE FROM envelopes WHERE seq = ?", (seq,))
    connection.execute("UPDATE turns SET visible = 0, envelope_bytes = 0 WHERE seq = ?", (seq,))
    _count(connection, responses=-1, size=-size)


def _remove(connection: sqlite3.Connection, seq: int | None) -> None:
    """Remove a turn that nobody continues, and then every hidden one before it that had only this child."""
    while seq is not None:
        parent, visible, size = connection.execute(
            "SELECT parent, visible, content_bytes + envelope_bytes FROM turns WHERE seq = ?", (seq,)
        ).fetchone()
        for table in ("turns", "contents", "envelopes", "running"):
            connection.execute(f"DELETE FROM {table} WHERE seq = ?", (seq,))  # noqa: S608 (the names stand above)
        _count(connection, responses=-visible, size=-size)
        connection.execute("UPDATE turns SET children = children - 1 WHERE seq = ?", (parent,))
        left = connection.execute("SELECT 1 FROM turns WHERE seq = ? AND visible = 0 AND children = 0", (parent,))
        seq = parent if left.fetchone() else None


def _count(connection: sqlite3.Connection, *, responses: int, size: int) -> None:
    connection.execute("UPDATE totals SET responses = responses + ?, bytes = bytes + ?", (responses, size))
