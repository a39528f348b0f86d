"""The audit against whoever changes a log, with and without the key, hashes made anew or not."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from codex_oss.errors import RequestError
from codex_oss.missions.envelope import Envelope, open_event, seal
from codex_oss.policy.exposure import Redactor
from codex_oss.services.anchors import AnchorBook
from codex_oss.services.audit import Audit, audit_mission
from codex_oss.services.event_log import LOG_NAME, Seal, read_log
from codex_oss.services.mission_runner import MissionRunner
from codex_oss.services.mission_store import MissionStore, write_rebuilt
from tests.services.test_mission_resume import lane
from tests.services.test_mission_runner import Tools, admission

KEY = bytes(range(32))
Rewrite = Callable[[list[Envelope]], list[Envelope]]


class Scene:
    """A finished mission, sealed with a key and an anchor."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "project"
        self.seal = Seal(KEY, AnchorBook(folder / "state", self.project))
        self.store = MissionStore(self.project)
        self.project.mkdir(parents=True)
        asyncio.run(self._run())
        self.log = self.project / ".codex-oss/runs/run_1" / LOG_NAME

    async def _run(self) -> None:
        runner = MissionRunner(self.store, Tools(), lane, Redactor(), open_seal=lambda: self.seal)
        async for _ in runner.run(admission()):
            pass

    def audit(self, seal: Seal | None = None) -> Audit:
        """With the key and anchors of this machine unless others are given."""
        return audit_mission(self.store, "m_test", lambda path: None, self.seal if seal is None else seal)

    def rewrite(self, change: Rewrite, key: bytes = b"") -> None:
        """Write the log anew as somebody would who owns the disk: whole chain, projections along; key: of the MACs."""
        lines: list[bytes] = []
        prev_hash = ""
        for seq, envelope in enumerate(change(list(read_log(self.log).envelopes)), 1):
            event: Any = open_event(envelope)
            prev_hash, line = seal(
                event,
                run_id=envelope.run_id,
                mission_id=envelope.mission_id,
                seq=seq,
                prev_hash=prev_hash,
                created_at=envelope.created_at,
                epoch=envelope.epoch,
                key=key,
            )
            lines.append(line)
        self.log.write_bytes(b"".join(line + b"\n" for line in lines))
        write_rebuilt(self.store, "m_test")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A finished mission."""
    return Scene(tmp_path)


def verdicts(audit: Audit) -> str:
    """The four verdicts by their first letters, e.g. `PPPW`."""
    return "".join(outcome[0] for outcome in audit.verdicts.values())


def test_an_untouched_record_passes(scene: Scene) -> None:
    """Integrity, completeness and projections pass; the files read do not exist here, which is a warning only."""
    assert (verdicts(scene.audit()), scene.audit().ok) == ("PPPW", True)


def edited(envelopes: list[Envelope]) -> list[Envelope]:
    """The model's last report claims another number."""
    raw = msgspec.json.encode(envelopes).replace(b"MAX_RETRIES` is 5", b"MAX_RETRIES` is 6")
    return msgspec.json.decode(raw, type=list[Envelope])


CHANGES: dict[str, Rewrite] = {
    "edit": edited,
    "drop": lambda log: [*log[:4], *log[5:]],
    "swap": lambda log: [*log[:4], log[5], log[4], *log[6:]],
    "insert": lambda log: [*log[:4], log[3], *log[4:]],
    "cut": lambda log: log[:-3],
    "rewrite": lambda log: log,
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_log_written_anew_without_the_key_is_found(scene: Scene, name: str) -> None:
    """All hashes and projections made anew: the missing MACs fail the integrity, also when nothing else changed."""
    scene.rewrite(CHANGES[name])
    audit = scene.audit()
    assert audit.verdicts["integrity"] == "FAIL"
    assert not audit.ok


@pytest.mark.parametrize("name", CHANGES)
def test_a_log_written_anew_with_another_key_is_found(scene: Scene, name: str) -> None:
    """MACs of another key do not verify."""
    scene.rewrite(CHANGES[name], key=b"x" * 32)
    assert scene.audit().verdicts["integrity"] == "FAIL"


@pytest.mark.parametrize("name", [name for name in CHANGES if name != "rewrite"])
def test_whoever_has_the_key_is_found_by_the_anchor(scene: Scene, name: str) -> None:
    """With the key each line verifies again, but the head is not the one that was noted outside.

    What was dropped, swapped or put in twice is found by the order of events, too.
    """
    scene.rewrite(CHANGES[name], key=KEY)
    checks = {check.name: check.status for check in scene.audit().checks}
    assert (checks["log.integrity"], checks["log.mac"], checks["log.anchor"]) == ("PASS", "PASS", "FAIL")
    assert checks["log.order"] == ("PASS" if name in ("edit", "cut") else "FAIL")


def test_the_same_log_again_is_the_same_log(scene: Scene) -> None:
    """Written anew with the same key and the same events, nothing is different, and nothing is found."""
    before = scene.log.read_bytes()
    scene.rewrite(CHANGES["rewrite"], key=KEY)
    assert scene.log.read_bytes() == before


@pytest.mark.parametrize("lines", range(1, 6))
def test_a_cut_tail_is_found_by_the_anchor(scene: Scene, lines: int) -> None:
    """Whole lines cut off leave a chain that verifies; the anchor knows better."""
    whole = scene.log.read_bytes().splitlines(keepends=True)
    scene.log.write_bytes(b"".join(whole[:-lines]))
    audit = scene.audit()
    assert (audit.verdicts["integrity"], audit.verdicts["completeness"]) == ("PASS", "FAIL")
    assert any(check.name == "log.anchor" and "its end is missing" in check.message for check in audit.checks)


def test_a_missing_run_is_found_by_the_anchor(scene: Scene) -> None:
    """A run that is gone altogether is named, not unknown."""
    shutil.rmtree(scene.log.parent)
    audit = scene.audit()
    assert not audit.ok
    assert {check.name for check in audit.checks} == {"log.missing"}
    assert any("had" in check.message for check in audit.checks)
    shutil.rmtree(scene.store.mission_folder("m_test"))
    with pytest.raises(RequestError):
        scene.audit(Seal())


def test_a_missing_run_is_found_by_the_files_that_were_made_of_it(scene: Scene) -> None:
    """Without any anchor: the mission's files name a run whose log is not there."""
    shutil.rmtree(scene.log.parent)
    audit = scene.audit(Seal())
    assert [(check.name, check.status) for check in audit.checks] == [("log.missing", "FAIL")]
    assert "run_1" in audit.checks[0].message
    summary = scene.store.mission_folder("m_test") / "mission_summary.json"
    for odd in (b'{"source_run_id": "../../elsewhere"}', b"[]", b"\xff", b'{"source_run_id": 7}'):
        summary.write_bytes(odd)
        with pytest.raises(RequestError):
            scene.audit(Seal())


def test_a_copied_folder_is_audited_elsewhere(scene: Scene, tmp_path: Path) -> None:
    """On a machine without key and anchor the chain verifies and what cannot be told is a warning; a key helps."""
    copy = tmp_path / "elsewhere"
    shutil.copytree(scene.project, copy)
    scene.store = MissionStore(copy)
    stranger = scene.audit(Seal())
    assert (verdicts(stranger), stranger.ok) == ("WWPW", True)
    assert any("no key here" in check.message for check in stranger.checks)
    assert verdicts(scene.audit(Seal(KEY))) == "PWPW"
    scene.log = copy / scene.log.relative_to(scene.project)
    scene.rewrite(CHANGES["edit"])
    assert scene.audit(Seal()).verdicts["claims"] == "FAIL", "the claims do not stand on what was shown"


@pytest.mark.parametrize("where", ["mac", "event_hash", "epoch", "payload"])
def test_no_part_of_a_line_can_be_changed_alone(scene: Scene, where: str) -> None:
    """Each key of a line is covered by its hash or its MAC."""
    lines = scene.log.read_bytes().splitlines()
    event = json.loads(lines[5])
    event[where] = {"mac": "hmac-sha256:" + "0" * 64, "event_hash": "sha256:" + "0" * 64, "epoch": 7, "payload": {}}[
        where
    ]
    lines[5] = json.dumps(event, sort_keys=True, separators=(",", ":")).encode()
    scene.log.write_bytes(b"\n".join([*lines, b""]))
    assert scene.audit().verdicts["integrity"] == "FAIL"
