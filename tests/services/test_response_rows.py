"""The rows of stored responses against a model of what must be kept: any sequence of operations keeps every rule."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.services.response_rows import (
    APPLICATION_ID,
    BEFORE_RUNNING,
    SCHEMA,
    Bounds,
    StoredTurn,
    delete,
    put,
    read_chain,
    read_items,
    read_response,
    read_totals,
    row_of,
    set_up,
)
from codex_oss.wire.stored_items import history_of

PLENTY = Bounds(ttl_s=1000.0, max_responses=1000, max_bytes=1 << 30)


def database() -> sqlite3.Connection:
    """A fresh one in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    set_up(connection)
    return connection


def turn(number: int, parent: int | None = None, size: int = 5, status: str = "completed") -> StoredTurn:
    """A turn whose texts say its number."""
    item = {"type": "message", "role": "user", "content": f"ask {number} " + "x" * size}
    answer = {"type": "message", "role": "assistant", "id": f"msg_{number}_0", "content": []}
    response = {"id": f"resp_{number}", "status": status, "model": "m", "output": [answer], "tools": ["t" * size]}
    return StoredTurn(f"resp_{number}", None if parent is None else f"resp_{parent}", [item], response)


@dataclass
class Kept:
    """What the test knows of a turn that was put. gone: deleted by the client."""

    turn: StoredTurn
    history: list[Any]
    expires_at: float
    gone: bool = False


@dataclass
class Model:
    """The operations, done on the rows and written down beside them."""

    bounds: Bounds
    connection: sqlite3.Connection = field(default_factory=database)
    now: float = 0.0
    kept: list[Kept] = field(default_factory=list)
    lossy: bool = False
    """A bound was met, so that what is readable may be less than what was put."""

    def put(self, parent: int, size: int) -> None:
        """Put a turn that continues the turn *parent* if that can be read, or begins a conversation."""
        number = len(self.kept)
        known = 0 <= parent < number and self.readable(parent)
        new = turn(number, parent if known else None, size)
        before = self.kept[parent].history if known else []
        assert put(self.connection, row_of(new), self.now, self.bounds) in ("", TOO_LARGE)
        history = [*before, *new.items, *new.response["output"]]
        self.kept.append(Kept(new, history, self.now + self.bounds.ttl_s))

    def run(self, size: int) -> None:
        """Put a turn while it runs, and then its end with a longer answer; a second end changes nothing."""
        number = len(self.kept)
        new = turn(number, None, size)
        begun = {**new.response, "status": "in_progress", "output": []}
        running = msgspec.structs.replace(new, response=begun, owner="me")
        if put(self.connection, row_of(running), self.now, self.bounds):
            return
        if (stored := read_response(self.connection, new.response_id, self.now)) is not None:
            assert stored == (begun, "me")
        if put(self.connection, row_of(new), self.now, self.bounds):
            delete(self.connection, new.response_id, self.now)
            return
        if read_response(self.connection, new.response_id, self.now) is not None:
            late = msgspec.structs.replace(new, response={**new.response, "status": "failed"})
            assert put(self.connection, row_of(late), self.now, self.bounds) == "it is kept already"
        self.kept.append(Kept(new, [*new.items, *new.response["output"]], self.now + self.bounds.ttl_s))

    def delete(self, number: int) -> None:
        """Delete a turn; the answer says whether it was readable."""
        if number < len(self.kept):
            was = self.readable(number)
            assert delete(self.connection, f"resp_{number}", self.now) is was
            self.kept[number].gone = True

    def readable(self, number: int) -> bool:
        """Whether a turn can be retrieved."""
        return read_response(self.connection, f"resp_{number}", self.now) is not None

    def check(self) -> None:
        """Every rule of `response_rows`."""
        responses, size = read_totals(self.connection)
        assert responses <= self.bounds.max_responses
        assert size <= self.bounds.max_bytes
        one = self.connection.execute
        assert responses == one("SELECT count(*) FROM turns WHERE visible").fetchone()[0]
        assert size == one("SELECT coalesce(sum(content_bytes + envelope_bytes), 0) FROM turns").fetchone()[0]
        assert one("SELECT count(*) FROM envelopes").fetchone()[0] == responses
        assert one("SELECT 1 FROM running WHERE seq NOT IN (SELECT seq FROM turns)").fetchall() == []
        assert one("SELECT count(*) FROM contents").fetchone() == one("SELECT count(*) FROM turns").fetchone()
        assert one("SELECT 1 FROM turns WHERE visible = 0 AND children = 0").fetchall() == []
        orphans = "SELECT 1 FROM turns WHERE parent NOT NULL AND parent NOT IN (SELECT seq FROM turns)"
        assert one(orphans).fetchall() == []
        wrong = "SELECT 1 FROM turns t WHERE children <> (SELECT count(*) FROM turns WHERE parent = t.seq)"
        assert one(wrong).fetchall() == []
        for kept in self.kept:
            self._check(kept)

    def _check(self, kept: Kept) -> None:
        response_id = kept.turn.response_id
        response = read_response(self.connection, response_id, self.now)
        chain = read_chain(self.connection, response_id, self.now, 1 << 30)
        assert (response is None) is (chain is None)
        over = kept.gone or self.now >= kept.expires_at
        if over:
            assert response is None
        elif not self.lossy:
            assert response is not None
        if response is not None and chain is not None:
            assert response == (kept.turn.response, kept.turn.owner)
            assert history_of(chain.turns) == kept.history
            assert read_items(self.connection, [response_id], self.now) == chain.turns[-1:]


TOO_LARGE = "it is larger than the whole store may be"
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(-1, 12), st.integers(0, 3000)),
        st.tuples(st.just("run"), st.just(0), st.integers(0, 3000)),
        st.tuples(st.just("delete"), st.integers(0, 12), st.just(0)),
        st.tuples(st.just("wait"), st.integers(1, 60), st.just(0)),
    ),
    max_size=25,
)


def play(bounds: Bounds, operations: list[tuple[str, int, int]], *, lossy: bool) -> Model:
    """Do the operations and check after each."""
    model = Model(bounds, lossy=lossy)
    for name, number, size in operations:
        if name == "put":
            model.put(number, size)
        elif name == "run":
            model.run(size)
        elif name == "delete":
            model.delete(number)
        else:
            model.now += number
        model.check()
    model.connection.close()
    return model


@given(OPERATIONS)
def test_what_was_put_is_what_is_got(operations: list[tuple[str, int, int]]) -> None:
    """Below the bounds everything is readable with its whole history until it is deleted or expires, and not after."""
    play(Bounds(ttl_s=100.0, max_responses=1000, max_bytes=1 << 30), operations, lossy=False)


@given(OPERATIONS, st.integers(1, 6), st.integers(600, 20_000))
def test_any_sequence_keeps_the_bounds(
    operations: list[tuple[str, int, int]], max_responses: int, max_bytes: int
) -> None:
    """Whatever happens, count and bytes hold after each step, and what can be read at all is whole."""
    play(Bounds(ttl_s=100.0, max_responses=max_responses, max_bytes=max_bytes), operations, lossy=True)


def test_a_file_from_before_background_turns() -> None:
    """The table that it lacks is added, and what it holds stays."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for statement in BEFORE_RUNNING:
        connection.execute(statement)
    connection.execute("INSERT INTO totals VALUES (0, 0)")
    assert put_old(connection) == ""
    set_up(connection)
    set_up(connection)
    assert read_response(connection, "resp_1", 0.0) == (turn(1).response, "")
    connection.close()


def put_old(connection: sqlite3.Connection) -> str:
    """Put a turn as the former version did, which knew nothing of the last table."""
    connection.execute(SCHEMA[-1])
    told = put(connection, row_of(turn(1)), 0.0, PLENTY)
    connection.execute("DROP TABLE running")
    return told


def test_the_oldest_go_first() -> None:
    """Beyond the count, the response that was stored first is the one that is gone."""
    model = Model(Bounds(ttl_s=10.0, max_responses=3, max_bytes=1 << 20), lossy=True)
    for _ in range(5):
        model.put(-1, 10)
    assert [model.readable(number) for number in range(5)] == [False, False, True, True, True]
    model.connection.close()


def test_deleting_a_parent_does_not_break_its_child() -> None:
    """The child keeps the whole history; the parent can be neither retrieved nor continued, and its object is gone."""
    model = Model(PLENTY)
    model.put(-1, 10)
    model.put(0, 10)
    model.delete(0)
    model.check()
    assert model.readable(1)
    assert model.connection.execute("SELECT seq FROM envelopes").fetchall() == [(2,)]
    model.delete(1)
    assert read_totals(model.connection) == (0, 0)
    model.connection.close()


def test_a_chain_takes_the_room_of_its_turns() -> None:
    """A conversation of two thousand turns is linear in bytes, and its oldest turns leave sight, not the history."""
    model = Model(Bounds(ttl_s=1000.0, max_responses=100, max_bytes=1 << 30), lossy=True)
    for number in range(2000):
        model.put(number - 1, 100)
    assert read_totals(model.connection)[1] < 2000 * 1000
    chain = read_chain(model.connection, "resp_1999", 0.0, 1 << 30)
    assert chain is not None
    assert history_of(chain.turns) == model.kept[-1].history
    assert not model.readable(1899)
    for number in range(1900, 2000):
        model.delete(number)
    assert read_totals(model.connection) == (0, 0)
    model.connection.close()


def test_a_turn_beyond_all_bounds_is_not_kept() -> None:
    """One turn larger than the store is refused and pushes nothing out."""
    model = Model(Bounds(ttl_s=10.0, max_responses=9, max_bytes=5000))
    model.put(-1, 10)
    assert put(model.connection, row_of(turn(9, None, 9000)), 0.0, model.bounds) == TOO_LARGE
    model.check()
    model.connection.close()


def test_a_turn_whose_parent_is_gone_is_not_kept() -> None:
    """Half a history is never stored."""
    connection = database()
    assert put(connection, row_of(turn(2, 1)), 0.0, PLENTY) == "the response that it continues is gone"
    assert read_totals(connection) == (0, 0)
    connection.close()


def test_a_long_chain_is_not_read() -> None:
    """Beyond the reader's limit only the size comes back."""
    model = Model(PLENTY)
    model.put(-1, 1000)
    model.put(0, 1000)
    chain = read_chain(model.connection, "resp_1", 0.0, 2000)
    assert chain is not None
    assert chain.turns == []
    assert chain.chain_bytes > 2000
    model.connection.close()
