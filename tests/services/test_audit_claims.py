"""The verdict on claims: a changed file is told apart from a false claim, and a false observation from both."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_oss.contracts.tools import ToolCall, ToolResult
from codex_oss.missions.events import ToolFinished
from codex_oss.missions.record import RunRecord
from codex_oss.policy.exposure import Redactor
from codex_oss.policy.scope import scope_of
from codex_oss.services.audit_check import Check
from codex_oss.services.audit_claims import Source, check_claims
from codex_oss.services.project_files import ProjectRoot
from codex_oss.services.tool_host import ToolHost, ToolLimits
from tests.fakes.mission_script import FILES, Play, call, finding, mission, report

REF = "file:app/retry.py#extract:1"
SHA = "ab" * 32
"""What the scripted project says of every file."""


def source(text: str, sha256: str = SHA) -> Source:
    return Source(sha256, text.encode())


def investigated(status: str = "COMPLETE") -> RunRecord:
    """A mission that read one file and reported."""
    played = Play(
        mission(),
        [call("rtk_read", path="app/retry.py"), report(finding("`MAX_RETRIES` is 5", REF), status=status)],
    )
    return played.run()


def outcomes(record: RunRecord, there: Source | None) -> dict[str, Check]:
    """The checks by their names, when that is the file now."""
    return {check.name: check for check in check_claims(record, lambda path: there)}


def test_a_file_that_is_the_same_bears_it_out() -> None:
    """Every line was read again."""
    checks = outcomes(investigated(), source(FILES["app/retry.py"]))
    assert {check.status for check in checks.values()} == {"PASS"}
    assert "7 lines of them stand there" in checks["evidence.changed"].message


@pytest.mark.parametrize("there", [None, source("MAX_RETRIES = 6\n", "cd" * 32)], ids=["gone", "changed"])
def test_a_changed_file_is_a_warning_that_names_it(there: Source | None) -> None:
    """It is no false claim: the claim stood on what the file held then."""
    checks = outcomes(investigated(), there)
    assert (checks["claims.hold"].status, checks["evidence.changed"].status) == ("PASS", "WARN")
    assert "app/retry.py" in checks["evidence.changed"].message
    assert "evidence.lines" not in checks


def test_a_line_that_the_very_file_does_not_hold_is_a_fault() -> None:
    """The log shows another line than the file with that digest: the observation was changed, not the file."""
    checks = outcomes(investigated(), source(FILES["app/retry.py"].replace("= 5", "= 6")))
    assert checks["evidence.lines"].status == "FAIL"
    assert "app/retry.py:3" in checks["evidence.lines"].message


def test_a_file_that_a_search_found_something_in_is_read_again() -> None:
    """A cited match: the line still stands there, stands elsewhere by now, or its file is gone."""
    played = Play(
        mission(),
        [call("rtk_grep", pattern="MAX_RETRIES =", path="app"), report(finding("`MAX_RETRIES`", "command:0#match:0"))],
    )
    record, text = played.run(), FILES["app/retry.py"]
    for there, status in ((source(text), "PASS"), (source("\n" + text), "WARN"), (source(""), "WARN"), (None, "WARN")):
        check = outcomes(record, there)["evidence.changed"]
        assert check.status == status
        assert ("app/retry.py" in check.message) == (status == "WARN")
    assert outcomes(record, source("\n" + text))["claims.hold"].status == "PASS"


@pytest.mark.parametrize(
    ("change", "word"),
    [({"status": "COMPLETE"}, "COMPLETE"), ({"confidence": "HIGH"}, "HIGH")],
)
def test_a_closing_that_says_more_than_it_may_is_a_fault(change: dict[str, str], word: str) -> None:
    """Status and confidence are judged again from what was shown."""
    record = investigated("PARTIAL")
    assert record.closed is not None
    record.closed = msgspec.structs.replace(record.closed, **change)
    checks = outcomes(record, source(FILES["app/retry.py"]))
    assert checks["claims.hold"].status == "FAIL"
    assert word in checks["claims.hold"].message


KEY = "ghp_" + "a1B2c3D4e5" * 4
LINES = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=40) | st.sampled_from(
    ["x" * 5_000, f"token = '{KEY}'", "\x1b[2J", "a\u202eb", "[REDACTED:github-token]", "", "\ttab", "ends\r"]
)


@given(lines=st.lists(LINES, max_size=12), start=st.integers(1, 12), raw=st.binary(max_size=30))
@settings(max_examples=120, deadline=None)
def test_what_the_real_tool_shows_is_found_again(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], start: int, raw: bytes
) -> None:
    """Redacted, cut, cleaned or undecodable: what was shown is never called false while the file is the same."""
    folder = tmp_path_factory.mktemp("project")
    data = "\n".join(lines).encode() + raw.replace(b"\0", b"")
    (folder / "app").mkdir()
    (folder / "app/retry.py").write_bytes(data)
    with ProjectRoot(folder) as root:
        tool = ToolCall("rtk_read", {"path": "app/retry.py", "start_line": start})
        result = ToolHost(root, Redactor()).run(tool, scope_of(mission()), ToolLimits(max_bytes=6_000))
    record = shown(result)
    statuses = {check.name: check.status for check in check_claims(record, lambda _: Source(result.file_sha256, data))}
    assert "evidence.lines" not in statuses


def shown(result: ToolResult) -> RunRecord:
    """A record in which a tool showed this."""
    played = Play(mission(), [call("rtk_read", path="app/retry.py"), report(status="PARTIAL")])
    played.run()
    record = investigated("PARTIAL")
    record.evidence = type(record.evidence)()
    assert any(isinstance(recorded.event, ToolFinished) for recorded in played.events)
    record.evidence.add(1, {"path": "app/retry.py"}, result)
    return record


def test_a_log_of_another_machine_asks_for_no_file_outside(tmp_path: Path) -> None:
    """Paths of a log that somebody made are read beneath the project only: what lies outside counts as gone."""
    (tmp_path / "project").mkdir()
    (tmp_path / "secret").write_text("MAX_RETRIES = 5\n")
    asked: list[str] = []

    def read(path: str) -> Source | None:
        asked.append(path)
        return None

    result = ToolResult("rtk_read", "extract", 0, path="../secret", start_line=1, lines=("x",), total_lines=1)
    checks = {check.name: check for check in check_claims(shown(result), read)}
    assert asked == ["../secret"]
    assert checks["evidence.changed"].status == "WARN"
