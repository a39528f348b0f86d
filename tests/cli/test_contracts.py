"""`validate-handoff`, `mission template` and `mission compile` as a person meets them."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from codex_oss.cli.contracts import MAX_DOCUMENT_BYTES, compile_, template, validate_handoff
from codex_oss.cli.main import main
from codex_oss.cli.mission_flags import SUFFICIENCY_NAMES, WORKSPACE_NAMES
from codex_oss.contracts.blocks import OPEN_TAG
from codex_oss.contracts.compiler import CompileOptions
from codex_oss.contracts.handoff import parse_document
from codex_oss.contracts.policy_fields import SUFFICIENCY_FIELDS, WORKSPACE_FIELDS

MISSION: dict[str, Any] = {
    "schema_version": "oss_agent_mission.v1",
    "mission_id": "m1",
    "tier": "A3",
    "objective": "Find the port.",
    "allowed_paths": ["config.py"],
    "allowed_tool_classes": ["read"],
    "required_outputs": ["findings"],
}
EIGHT = MISSION | {
    "mode": "patch_proposal",
    "risk_tier": "high",
    "write_allowed": True,
    "allowed_paths": ["/etc/passwd"],
    "allowed_tool_classes": ["shell"],
    "required_outputs": [],
    "tool_budget": 5000,
    "max_model_calls": True,
}


def run(command: click.Command, *args: str, stdin: str | bytes = b"") -> Result:
    """Run one command; the exit code, stdout and stderr are in the result."""
    return CliRunner().invoke(command, args, input=stdin)


def fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *args: str, stdin: bytes | None = b""
) -> str:
    """stderr of the whole program for a call that must end with 2; stdin None is a closed one."""
    monkeypatch.setattr(sys, "stdin", None if stdin is None else io.TextIOWrapper(io.BytesIO(stdin)))
    with pytest.raises(SystemExit) as ended:
        main(list(args))
    assert ended.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return captured.err


def test_a_valid_mission_is_said_to_be_valid(tmp_path: Path) -> None:
    """One ok line with what is granted, exit 0; from a file and from stdin."""
    file = tmp_path / "mission.json"
    file.write_text(json.dumps(MISSION), encoding="utf-8")
    result = run(validate_handoff, str(file), "--project", str(tmp_path))
    assert (result.exit_code, result.stdout) == (0, "ok: A3 mission m1, 20 tool calls in 180 s\n")
    assert run(validate_handoff, "-", stdin=json.dumps(MISSION)).stdout == result.stdout


def test_the_whole_list_of_breaches() -> None:
    """Eight broken rules give eight lines `code field: message` and exit 2."""
    result = run(validate_handoff, "-", stdin=json.dumps(EIGHT))
    assert result.exit_code == 2
    heads = [line.split(":")[0] for line in result.stdout.splitlines()]
    assert sorted(heads) == [
        "budget_abusive tool_budget",
        "limit_out_of_range max_model_calls",
        "mode_mismatch mode",
        "path_invalid allowed_paths[0]",
        "required_outputs_missing required_outputs",
        "risk_tier_invalid risk_tier",
        "tool_class_invalid allowed_tool_classes[0]",
        "write_flag_mismatch write_allowed",
    ]


def test_the_answer_for_programs() -> None:
    """--json gives one object with ok, problems and the canonical mission, or null for it."""
    good = json.loads(run(validate_handoff, "-", "--json", stdin=json.dumps(MISSION | {"rol": 1})).stdout)
    assert good["ok"] is True
    assert [(found["code"], found["severity"]) for found in good["problems"]] == [("unknown_field", "warning")]
    assert good["mission"]["mode"] == "managed_investigation"
    assert good["budget"]["tool_calls"] == 20
    again = json.loads(run(validate_handoff, "-", "--json", stdin=json.dumps(good["mission"])).stdout)
    assert (again["problems"], again["mission"]) == ([], good["mission"])
    result = run(validate_handoff, "-", "--json", stdin=json.dumps(EIGHT))
    bad = json.loads(result.stdout)
    assert (result.exit_code, bad["ok"], bad["mission"], len(bad["problems"])) == (2, False, None, 8)
    assert set(bad["problems"][0]) == {"code", "field", "message", "severity", "hint"}


def test_the_budget_follows_the_project(tmp_path: Path) -> None:
    """The project's configuration bounds the granted budget, and the line says so; a broken one is not our matter."""
    (tmp_path / ".codex-oss").mkdir()
    config = tmp_path / ".codex-oss" / "config.toml"
    config.write_text("mission_max_time_s = 60\n", encoding="utf-8")
    result = run(validate_handoff, "-", "--project", str(tmp_path), stdin=json.dumps(MISSION))
    assert "10 tool calls in 60 s (asked for 20 in 180 s; request_deadline)" in result.stdout
    config.write_bytes(b"\xff = [")
    assert "20 tool calls" in run(validate_handoff, "-", "--project", str(tmp_path), stdin=json.dumps(MISSION)).stdout


def test_a_tier_that_does_not_run_yet_is_told() -> None:
    """A4 to A6 are valid, and the line says that running them is not available yet."""
    raw = MISSION | {"tier": "A4", "owned_paths": ["config.py"]}
    result = run(validate_handoff, "-", stdin=json.dumps(raw))
    assert result.exit_code == 0
    assert "running tier A4 is not available yet" in result.stdout


def test_a_document_cannot_steer_the_terminal() -> None:
    """Control characters of a document do not reach the terminal raw."""
    result = run(validate_handoff, "-", stdin=json.dumps(MISSION | {"\x1b[2J": 1, "tier": "\x1b[31mA9"}))
    assert "\x1b" not in result.stdout


def test_unreadable_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Absent, a folder, binary, too large, empty: one sentence that names the file, and a hint; never a traceback."""
    binary, large, utf16 = tmp_path / "binary", tmp_path / "large", tmp_path / "utf16"
    binary.write_bytes(b"\x7fELF\0\0")
    large.write_bytes(b"x" * (MAX_DOCUMENT_BYTES + 1))
    utf16.write_text("{}", encoding="utf-16")
    for path, words in (
        (tmp_path / "absent", "cannot be read: no such file"),
        (tmp_path, "cannot be read: is a directory"),
        (binary, "is not UTF-8 text"),
        (utf16, "is not UTF-8 text"),
        (large, "is larger than 8 MiB"),
    ):
        error, hint = fails(monkeypatch, capsys, "validate-handoff", str(path)).splitlines()
        assert str(path) in error
        assert words in error
        assert hint.startswith("hint: ")
    assert "stdin is empty" in fails(monkeypatch, capsys, "validate-handoff", "-", stdin=b" \n")
    assert "cannot be read" in fails(monkeypatch, capsys, "validate-handoff", "a\0b")
    assert "stdin cannot be read: it is closed" in fails(monkeypatch, capsys, "validate-handoff", "-", stdin=None)


def test_a_text_without_a_mission() -> None:
    """Prose, broken JSON and two blocks give their codes; block-wide problems have no field."""
    assert run(validate_handoff, "-", stdin="ROLE: scout").stdout.startswith("handoff_missing: ")
    assert "line 1, column 2" in run(validate_handoff, "-", stdin="{x}").stdout
    two = (f"{OPEN_TAG}{json.dumps(MISSION)}</OSS_HANDOFF_JSON>") * 2
    result = run(validate_handoff, "-", stdin=two)
    assert result.stdout.startswith("handoff_multiple_blocks: ")
    assert result.exit_code == 2


def test_template_writes_a_mission_to_start_from() -> None:
    """The template validates as it is printed, tagged or bare, pretty or for programs."""
    args = ("--objective", "Find it.", "--allowed-path", "a.py", "--tier", "a2")
    bare = run(template, *args)
    assert bare.exit_code == 0
    assert json.loads(bare.stdout)["must_inspect"] == ["a.py"]
    assert run(validate_handoff, "-", stdin=bare.stdout).exit_code == 0
    tagged = run(template, *args, "--handoff").stdout
    assert tagged.startswith(OPEN_TAG)
    assert run(validate_handoff, "-", stdin=tagged).exit_code == 0
    assert json.loads(run(template, *args, "--json").stdout) == json.loads(bare.stdout)
    assert json.loads(run(template, *args, "--json", "--handoff").stdout) == {"handoff": tagged.rstrip("\n")}


def test_template_without_objective_or_scope() -> None:
    """Without an objective there is one to replace, with a note; without a scope the contract refuses."""
    result = run(template, "--allowed-root", "pkg")
    assert (result.exit_code, json.loads(result.stdout)["objective"][:7]) == (0, "Replace")
    assert "replace the objective" in result.stderr
    result = run(template, "--objective", "x")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("scope_missing")


def test_template_is_for_a2_and_a3() -> None:
    """Other tiers are sent to `mission compile`."""
    result = run(template, "--tier", "A5", "--allowed-path", "a")
    assert "template for A2 and A3" in str(result.exception)


def test_compile_takes_flags_a_file_or_both(tmp_path: Path) -> None:
    """All three forms give a valid mission; flags win over the file; tags in the file are fine."""
    file = tmp_path / "mission.json"
    file.write_text(
        run(template, "--objective", "Old.", "--allowed-path", "a.py", "--handoff").stdout, encoding="utf-8"
    )
    plain = run(compile_, str(file), "--handoff")
    assert plain.exit_code == 0
    assert parse_document(plain.stdout).raw == parse_document(file.read_text(encoding="utf-8")).raw
    changed = json.loads(run(compile_, str(file), "--objective", "New.", "--json").stdout)
    assert (changed["objective"], changed["mission_id"]) == ("New.", "mission_local_001")
    assert json.loads(run(compile_, "--objective", "x", "--allowed-root", "pkg").stdout)["tier"] == "A3"


def test_compile_with_every_kind_of_flag() -> None:
    """Lists repeat, commands are split as by a shell, inner objects are gathered, switches have a no-form."""
    result = run(
        compile_,
        *("--tier", "A5", "--objective", "Fix it.", "--owned-path", "a.py", "--owned-path", "b c.py"),
        *("--verification-command", "pytest -q 'test a.py'", "--workspace-invariant-command", "make check"),
        *("--workspace-reviewer-model", "m", "--no-workspace-require-gpt-review", "--apply-mode", "isolated"),
        *("--sufficiency-min-main-claims", "2", "--sufficiency-confidence-cap", "HIGH", "--required-symbol", "a.py:f"),
        "--json",
    )
    raw = json.loads(result.stdout)
    assert raw["owned_paths"] == ["a.py", "b c.py"]
    assert raw["verification_policy"]["allowed_commands"] == [["pytest", "-q", "test a.py"]]
    assert raw["workspace_apply_policy"] == {
        "require_gpt_review": False,
        "reviewer_models": ["m"],
        "invariant_commands": [["make", "check"]],
    }
    assert raw["sufficiency_policy"] == {"min_main_claims": 2, "confidence_cap_if_partial_extracts": "HIGH"}
    assert raw["objective_spec"]["target"]["required_symbols"] == [{"path": "a.py", "kind": "function", "name": "f"}]
    assert raw["apply_mode"] == "isolated_worktree"


def test_compile_refuses_with_every_problem(tmp_path: Path) -> None:
    """What the contract refuses is listed on stderr, or in the JSON; stdout stays clean without it."""
    result = run(compile_, "--tier", "A5", "--risk-tier", "high")
    assert (result.exit_code, result.stdout) == (2, "")
    codes = {"objective_missing", "owned_paths_missing", "risk_tier_invalid", "scope_missing"}
    lines = result.stderr.splitlines()
    assert {line.split()[0] for line in lines if not line.startswith("hint")} == codes
    assert {line.partition(")")[0] for line in lines if line.startswith("hint")} == {f"hint ({code}" for code in codes}
    answer = json.loads(run(compile_, "--tier", "A5", "--json").stdout)
    assert (answer["ok"], answer["mission"]) == (False, None)
    broken = tmp_path / "broken"
    broken.write_text("{", encoding="utf-8")
    assert run(compile_, str(broken)).stderr.startswith("handoff_malformed_json: ")
    assert "cannot be split" in str(run(compile_, "--verification-command", "'").exception)


def test_flags_fit_the_compiler() -> None:
    """Each flag fills an option of the compiler, and each gathered name is a field of the contract."""
    names = {param.name for param in compile_.params} - {"file", "project", "handoff", "as_json"}
    gathered = set(WORKSPACE_NAMES) | set(SUFFICIENCY_NAMES)
    options = set(CompileOptions.__dataclass_fields__) - {"workspace", "sufficiency"}
    assert names == options | gathered
    assert set(WORKSPACE_NAMES.values()) == {field.name for field in WORKSPACE_FIELDS}
    fields = {field.name for field in SUFFICIENCY_FIELDS}
    assert set(SUFFICIENCY_NAMES.values()) == fields - {"allow_runtime_answer_graph_closure"}


@pytest.mark.parametrize("command", [validate_handoff, template, compile_], ids=lambda command: str(command.name))
def test_help_has_an_example(command: click.Command) -> None:
    """Every command's help ends with an example."""
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Example: codex-oss" in result.stdout
