"""What can be done to a record by whoever owns the disk, and which audit finds it: the whole table, measured.

    python -m tests.services.record_mutations        writes tests/data/record_mutations.json anew

Counterparts: `test_record_mutations.py` compares the file with what it measures; docs/record.md shows it as a table.

Three people change the log of a finished mission: one who changes bytes only, one who makes every hash (and every
projection) anew and keeps the MACs, leaves them out or makes them with a key of his own, and one who has stolen the
key. Four people audit: with nothing (a copied folder on another machine), with the key, with the anchor, with both.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from codex_oss.missions import envelope as ev
from codex_oss.missions.envelope import seal
from codex_oss.missions.events import (
    canonical_json,
)
from codex_oss.services.mission_store import write_rebuilt
from tests.services.sealed_run import AUDITORS, KEY, OTHER, Auditor, Line, Log, Scene, story

RESULTS: Final = Path(__file__).resolve().parents[1] / "data/record_mutations.json"
FOREIGN_KEY: Final = b"f" * 32
Attacker = Literal["bytes", "hashes", "key"]
ATTACKERS: Final[tuple[Attacker, ...]] = ("bytes", "hashes", "key")
MAC_TRICKS: Final = ("kept", "left out", "another key")


class Mutation(Struct, frozen=True):
    """One change of a log."""

    kind: str
    """Row of the table."""
    name: str
    change: Callable[[Log, Log], Log]
    """The log and a foreign one, both as lines, to the changed log."""
    renumbers: bool = True
    """Whether numbers are made to fit afterwards; not where the number itself is what was changed."""


def edits(lines: Log) -> Iterator[Mutation]:
    """Every value of the payload in the first event of each kind, and every field of the envelope of four of them."""
    seen: set[str] = set()
    for at, line in enumerate(lines):
        if line["event_type"] in seen:
            continue
        seen.add(line["event_type"])
        members = [*line, "an unknown member"] if line["event_type"] in ENVELOPES else []
        for name in (name for name in members if name != "payload"):
            yield Mutation("edit of the envelope", f"{at}.{name}", _edit(at, (name,)), renumbers=False)
        for path in leaves(line["payload"]):
            kind = f"edit of `{line['event_type']}`"
            yield Mutation(kind, f"{at}.{'.'.join(map(str, path))}", _edit(at, ("payload", *path)), renumbers=False)


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Paths to every value in a JSON object that holds no other ones."""
    inside: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = False
    for name, child in inside:
        found = True
        yield from leaves(child, (*path, name))
    if not found and path:
        yield path


def _edit(at: int, path: tuple[str | int, ...]) -> Callable[[Log, Log], Log]:
    def change(log: Log, foreign: Log) -> Log:
        place: Any = log[at]
        for step in path[:-1]:
            place = place[step]
        before = place.get(path[-1], "") if isinstance(place, dict) else place[path[-1]]
        for other in others(before):
            place[path[-1]] = other
            if readable(log[at]):
                break
        return log

    return change


def others(value: Any) -> Iterator[Any]:
    """Values to put in place of one: of the same type, and for words also those that an event may say instead."""
    match value:
        case bool():
            yield not value
        case int():
            yield value + 1
        case str() if value.startswith("2026-"):
            yield value.replace("2026-", "2025-")
        case str():
            yield f"{value}x"
            yield from (word for word in WORDS if word != value)
        case list():
            yield ["app/config.py"]
            yield [{"gate": "x", "code": "x", "message": "x"}]
            yield [1]
        case dict():
            yield {"x": 1}
        case _:
            yield "x"
            yield {}
            yield 1


PLACE: Final = "log of another run in its place"
MADE_ANEW: Final = (".event_hash", ".prev_hash")
ENVELOPES: Final = ("MissionOpened", "ModelAnswered", "ToolFinished", "MissionClosed")
WORDS: Final = (
    "COMPLETE", "PARTIAL", "HIGH", "LOW", "completed", "failed", "action", "repair", "model", "runtime", "tool_call",
    "invalid", "blocked", "duplicate", "model_report", "runtime_evidence", "SOURCE_PACK_RECOVERY", "", "extract",
    "text", "managed_investigation", "A3", "guided_exploration", "A2", "low", "critical", "open_investigation",
    "deterministic_lookup", "allow_model_exploration", "close_immediately", "prefetch_floor", "model_led", "rtk_grep",
    "read", "search", "list",
)  # fmt: skip


def readable(line: Line) -> bool:
    """Whether this version could open the event."""
    try:
        envelope = msgspec.convert({**line, "payload": msgspec.Raw(canonical_json(line["payload"]))}, ev.Envelope)
        ev.open_event(envelope)
    except (ValueError, msgspec.ValidationError):
        return False
    return True


def structural(lines: Log) -> Iterator[Mutation]:
    """Drop, swap, insert, cut, write anew."""
    count = len(lines)
    for at in range(count):
        yield Mutation("drop of one event", str(at), partial(_dropped, at))
        yield Mutation("insert: an event twice", str(at), partial(_doubled, at))
    for one in range(count):
        for other in range(one + 1, min(one + 3, count)):
            yield Mutation("swap of two events", f"{one},{other}", partial(_swapped, one, other))
    for at in range(1, count):
        for place in (3, 6):
            yield Mutation("insert: an event of another run", f"{place} at {at}", partial(_replayed, at, place))
    for tail in range(1, count):
        yield Mutation("cut of the tail", str(tail), partial(_cut, tail))
    for tail in range(2, count - 1):
        yield Mutation("cut of the tail, closed anew", str(tail), partial(_cut_and_closed, tail))
    yield Mutation("written anew, another story", "the whole log", _retold)
    yield Mutation(PLACE, "the whole log", lambda _, foreign: foreign, renumbers=False)


def _dropped(at: int, log: Log, _: Log) -> Log:
    return [*log[:at], *log[at + 1 :]]


def _doubled(at: int, log: Log, _: Log) -> Log:
    return [*log[: at + 1], log[at], *log[at + 1 :]]


def _swapped(one: int, other: int, log: Log, _: Log) -> Log:
    log[one], log[other] = log[other], log[one]
    return log


def _replayed(at: int, place: int, log: Log, foreign: Log) -> Log:
    fitted = {**foreign[place], **{name: log[0][name] for name in ("run_id", "mission_id", "epoch")}}
    return [*log[:at], fitted, *log[at:]]


def _cut(tail: int, log: Log, _: Log) -> Log:
    return log[:-tail]


def _cut_and_closed(tail: int, log: Log, _: Log) -> Log:
    return [*log[:-tail], _closing(log[-1])]


def _closing(last: Line) -> Line:
    payload = {**last["payload"], "status": "FAILED", "confidence": "LOW", "reason_codes": ["cancelled"]}
    return {**last, "payload": {**payload, "report_source": "runtime_evidence", "failures": [], "requested_status": ""}}


def _retold(log: Log, _: Log) -> Log:
    retold: Log = []
    for seq, event in enumerate(story(OTHER), 1):
        created_at = str(log[0]["created_at"])
        line = seal(event, run_id="run_1", mission_id="m_test", seq=seq, prev_hash="", created_at=created_at)[1]
        retold.append(json.loads(line))
    return retold


def written(mutation: Mutation, scene: Scene, attacker: Attacker, mac_trick: str = "kept") -> bytes:
    """The bytes that an attacker lays there."""
    log: Log = msgspec.json.decode(msgspec.json.encode(scene.lines))
    foreign: Log = msgspec.json.decode(msgspec.json.encode(scene.foreign))
    changed = [dict(line) for line in mutation.change(log, foreign)]
    if attacker != "bytes" and mutation.kind != PLACE:
        _make_anew(changed, mutation.renumbers, KEY if attacker == "key" else b"", mac_trick)
    return b"".join(canonical_json(line) + b"\n" for line in changed)


def _make_anew(log: Log, renumbers: bool, key: bytes, mac_trick: str) -> None:
    prev_hash = ""
    for seq, line in enumerate(log, 1):
        if renumbers:
            line.update(seq=seq, event_id=f"evt_{seq:06d}")
        line["prev_hash"] = prev_hash
        line.pop("event_hash", None)
        signing = key or (FOREIGN_KEY if mac_trick == "another key" else b"")
        if signing or mac_trick == "left out":
            line.pop("mac", None)
        if signing:
            line["mac"] = ev._mac(canonical_json(line), signing)
        prev_hash = line["event_hash"] = ev._digest(canonical_json(line))


class Row(Struct):
    """What was found of one kind of change; keys are `ATTACKER/AUDITOR`."""

    found: dict[str, int] = msgspec.field(default_factory=dict)
    tried: dict[str, int] = msgspec.field(default_factory=dict)
    missed: dict[str, list[str]] = msgspec.field(default_factory=dict)
    """Names of the mutations that were not."""

    def count(self, name: str, attacker: Attacker, found: dict[Auditor, bool]) -> None:
        """Note what the auditors found of one change."""
        for auditor in AUDITORS:
            cell = f"{attacker}/{auditor}"
            self.found[cell] = self.found.get(cell, 0) + found[auditor]
            self.tried[cell] = self.tried.get(cell, 0) + 1
            if not found[auditor]:
                self.missed.setdefault(cell, []).append(name)


def measure(folder: Path) -> dict[str, Row]:
    """Every mutation by every attacker, audited by everybody.

    What makes every hash anew counts as found only when it is found whatever was done about the MACs.
    """
    scene = Scene(folder)
    table: dict[str, Row] = {}
    for mutation in [*edits(scene.lines), *structural(scene.lines)]:
        for attacker in ATTACKERS:
            tricks = MAC_TRICKS if attacker == "hashes" else MAC_TRICKS[:1]
            logs = {written(mutation, scene, attacker, trick) for trick in tricks} - {scene.whole}
            undone = attacker != "bytes" and mutation.name.endswith(MADE_ANEW)
            if logs and not undone:
                table.setdefault(mutation.kind, Row()).count(mutation.name, attacker, _found(scene, logs))
    scene.put(scene.whole)
    scene.log.unlink()
    for attacker in ATTACKERS:
        # There is nothing to make anew in a log that is gone but the files: as if the earlier run were the last one.
        if attacker != "bytes":
            write_rebuilt(scene.store, "m_test")
        gone = {auditor: scene.finds(auditor) for auditor in AUDITORS}
        table.setdefault("the whole run is missing", Row()).count("the whole log", attacker, gone)
    return table


def _found(scene: Scene, logs: set[bytes]) -> dict[Auditor, bool]:
    found = dict.fromkeys(AUDITORS, True)
    for data in logs:
        scene.put(data)
        # Who knows more finds no less (`test_who_knows_more_finds_no_less`): only the others are asked.
        nothing = scene.finds("nothing")
        by_key, by_anchor = nothing or scene.finds("key"), nothing or scene.finds("anchor")
        by_both = by_key or by_anchor or scene.finds("both")
        for auditor, finds in zip(AUDITORS, (nothing, by_key, by_anchor, by_both), strict=True):
            found[auditor] = found[auditor] and finds
    return found


def load_table() -> dict[str, Row]:
    """The table as it was measured last."""
    return msgspec.json.decode(RESULTS.read_bytes(), type=dict[str, Row])


COLUMNS: Final = (
    ("bytes only, nothing to hand", "bytes/nothing"),
    ("hashes anew, nothing to hand", "hashes/nothing"),
    ("… the key", "hashes/key"),
    ("… the anchor", "hashes/anchor"),
    ("key stolen, the key to hand", "key/key"),
    ("… the anchor", "key/anchor"),
)


def render_table() -> str:
    """The table as Markdown, for docs/record.md."""
    table = load_table()
    lines = [f"| what was done | {' | '.join(title for title, _ in COLUMNS)} |", "| --- " * (len(COLUMNS) + 1) + "|"]
    total = {cell: [0, 0] for _, cell in COLUMNS}
    for kind, row in table.items():
        shown = []
        for _, cell in COLUMNS:
            found, tried = row.found[cell], row.tried[cell]
            total[cell][0] += found
            total[cell][1] += tried
            shown.append(f"{found}/{tried}" if found == tried else f"**{found}/{tried}**")
        lines.append(f"| {kind} | {' | '.join(shown)} |")
    lines.append(f"| all | {' | '.join(f'{found}/{tried}' for found, tried in total.values())} |")
    return "\n".join(lines) + "\n"


def render_unseen() -> str:
    """What can be changed unseen by somebody who makes every hash anew, where the auditor has nothing to hand."""
    lines = []
    for kind, row in load_table().items():
        if kind.startswith("edit of `"):
            names = sorted({name.partition(".")[2] for name in row.missed.get("hashes/nothing", [])})
            shown = sorted({name.split(".")[0] if name.startswith("mission.") else name for name in names})
            if shown:
                lines.append(f"- {kind.removeprefix('edit of ')}: {', '.join(f'`{name}`' for name in shown)}")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write the file."""
    with tempfile.TemporaryDirectory() as folder:
        table = measure(Path(folder))
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(table), indent=1) + b"\n")


if __name__ == "__main__":
    main()
