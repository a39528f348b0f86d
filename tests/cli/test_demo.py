"""`codex-oss demo`: each link that breaks is named and ends it with status 1; a whole chain ends it with 0."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from codex_oss.cli import demo as demo_module
from codex_oss.cli import demo_links as links
from codex_oss.cli.demo import demo
from codex_oss.errors import BridgeError
from codex_oss.missions import projections
from codex_oss.services.codex_exec import CodexEvent, CodexRun
from codex_oss.services.local_model import LocalModel
from tests.fakes.responses_bridge import ResponsesBridge

NUMBERED = re.compile(r"^ ?(\d+)  (\w+)", re.MULTILINE)


def report_text(mission_id: str, **changes: Any) -> str:
    """A final message as the mission lane writes it."""
    report = {"mission_id": mission_id, "run_id": f"run-{mission_id}", "status": "PARTIAL"} | changes
    return f"Found a little.\n\n```json\n{json.dumps(report)}\n```"


WHOLE = [("commentary", "Reading courier/settings.py"), ("final_answer", report_text("demo-http"))]


def write_artifacts(folder: Path, mission_id: str) -> None:
    """What a mission leaves behind, as empty as it may be."""
    artifacts = folder / ".codex-oss" / "missions" / mission_id
    artifacts.mkdir(parents=True)
    for name in projections.NAMES:
        (artifacts / name).write_text("{}")
    log = folder / ".codex-oss" / "runs" / f"run-{mission_id}" / "events.jsonl"
    log.parent.mkdir(parents=True)
    log.write_text("{}\n")


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Run the demo on stand-ins for model, bridge and audit; keyword arguments replace one of them."""

    @contextmanager
    def local_model() -> Iterator[LocalModel]:
        yield LocalModel("http://127.0.0.1:9/v1", "key", 1)

    def run(bridge: ResponsesBridge, *, arguments: tuple[str, ...] = (), **replaced: Any) -> Result:
        @contextmanager
        def run_bridge(folder: Path, model: LocalModel, local_key: str) -> Iterator[str]:
            write_artifacts(folder, "demo-http")
            with bridge:
                yield bridge.base_url

        parts = {"run_bridge": run_bridge, "count_generated_tokens": lambda model: 7, "audit": lambda folder, name: 12}
        for name, part in (parts | {k: v for k, v in replaced.items() if hasattr(links, k)}).items():
            monkeypatch.setattr(links, name, part)
        monkeypatch.setattr(demo_module, "run_local_model", replaced.get("run_local_model", local_model))
        monkeypatch.setattr(demo_module, "find_codex", lambda: replaced.get("codex"))
        if "run_codex" in replaced:
            monkeypatch.setattr(demo_module, "run_codex", replaced["run_codex"])
        return CliRunner().invoke(demo, ["--keep", str(tmp_path / "kept"), *arguments])

    return run


def test_a_whole_chain_prints_numbered_links_and_ends_with_0(stage: Callable[..., Result]) -> None:
    """Every link is numbered in order, the commentary is shown, and the honest sentence closes."""
    bridge = ResponsesBridge(WHOLE)
    result = stage(bridge)
    assert result.exit_code == 0, result.output
    names = ["project", "model", "bridge", "mission", "answers", "report", "audit", "artifacts"]
    assert NUMBERED.findall(result.output) == [(str(n), name) for n, name in enumerate(names, 1)]
    assert "Reading courier/settings.py" in result.output
    assert "```" not in result.output
    assert demo_module.HONEST in result.output
    assert "left out" in result.output
    assert bridge.requests[0]["model"] == "mission-a3-local"
    assert bridge.requests[0]["stream"] is True


def raise_missing(*_: Any) -> Any:
    """A part that cannot do its work."""
    raise BridgeError("It is not there.", hint="Bring it.")


@pytest.mark.parametrize(
    ("link", "bridge", "replaced"),
    [
        ("link 1 broken: project", ResponsesBridge(WHOLE), {"copy_sample_project": raise_missing}),
        ("link 2 broken: model", ResponsesBridge(WHOLE), {"run_local_model": raise_missing}),
        ("link 3 broken: bridge", ResponsesBridge(WHOLE), {"run_bridge": raise_missing}),
        ("link 4 broken: mission", ResponsesBridge(WHOLE, status=503), {}),
        ("link 4 broken: mission", ResponsesBridge(WHOLE, ending="response.failed"), {}),
        ("link 4 broken: mission", ResponsesBridge(WHOLE, ending=""), {}),
        ("link 4 broken: mission", ResponsesBridge(WHOLE[1:]), {}),
        ("link 4 broken: mission", ResponsesBridge([("commentary", "a"), ("final_answer", "no block")]), {}),
        (
            "link 4 broken: mission",
            ResponsesBridge([("commentary", "a"), ("final_answer", report_text("demo-http", status="GREAT"))]),
            {},
        ),
        ("link 5 broken: answers", ResponsesBridge(WHOLE), {"count_generated_tokens": lambda model: 0}),
        ("link 7 broken: audit", ResponsesBridge(WHOLE), {"audit": raise_missing}),
        (
            "link 8 broken: artifacts",
            ResponsesBridge([WHOLE[0], ("final_answer", report_text("another"))]),
            {},
        ),
    ],
)
def test_a_broken_link_is_named_and_ends_with_1(
    link: str, bridge: ResponsesBridge, replaced: dict[str, Any], stage: Callable[..., Result]
) -> None:
    """Whatever fails, its number and name are said, nothing after it is shown as done, and the status is 1."""
    result = stage(bridge, **replaced)
    assert result.exit_code == 1, result.output
    assert link in result.output
    assert len(NUMBERED.findall(result.output)) == int(link.split()[1]) - 1
    assert demo_module.HONEST not in result.output


def codex_run(*messages: str, exit_code: int = 0) -> CodexRun:
    """What Codex printed: these closed messages, one second apart."""
    items = [{"type": "item.completed", "item": {"type": "agent_message", "text": text}} for text in messages]
    return CodexRun(exit_code, tuple(CodexEvent(float(at), item) for at, item in enumerate(items)), "said on stderr")


@pytest.mark.parametrize(
    ("run", "exit_code", "told"),
    [
        (codex_run("reading", report_text("demo-codex")), 0, "Codex showed 1 messages, the first 1.0 s before"),
        (codex_run(report_text("demo-codex")), 1, "link 9 broken: codex: Codex showed nothing before"),
        (codex_run("reading", "no report"), 1, "link 9 broken: codex: The final message holds no JSON block"),
        (codex_run("reading", report_text("x"), exit_code=1), 1, "exit status 1: said on stderr"),
        (codex_run(exit_code=124), 1, "it ran out of time"),
    ],
)
def test_the_run_through_codex_is_a_link_like_any_other(
    run: CodexRun, exit_code: int, told: str, stage: Callable[..., Result]
) -> None:
    """With Codex present the chain is whole only if Codex delivered commentary before the report."""
    result = stage(ResponsesBridge(WHOLE), codex="/usr/bin/codex", run_codex=lambda *_: run)
    assert result.exit_code == exit_code, result.output
    assert told in result.output


def test_json_is_one_object_on_stdout(stage: Callable[..., Result]) -> None:
    """A program reads one object with every link; the story goes to stderr."""
    result = stage(ResponsesBridge(WHOLE), arguments=("--json",))
    told = json.loads(result.stdout)
    assert told["ok"] is True
    assert [link["name"] for link in told["links"]][-1] == "artifacts"
    assert told["links"][5]["report"]["status"] == "PARTIAL"
    assert "Reading courier/settings.py" in result.stderr


def test_the_sample_project_is_committed_and_holds_one_fact_to_find(tmp_path: Path) -> None:
    """The copy is clean in git, defines RETRY_LIMIT once, and never mentions what the negative search looks for."""
    folder = tmp_path / "copy"
    committed = links.copy_sample_project(folder)
    assert committed is (shutil.which("git") is not None)
    if committed:
        status = subprocess.run(["git", "-C", str(folder), "status", "--porcelain"], capture_output=True, check=True)
        assert status.stdout == b""
    sources = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.py")}
    assert [name for name, text in sources.items() if re.search(r"^RETRY_LIMIT = ", text, re.MULTILINE)] == [
        "courier/settings.py"
    ]
    assert "retry_limit" in sources["courier/delivery.py"]
    assert not any("circuit_breaker" in text.lower() for text in sources.values())


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    """`--keep` never mixes the sample with what is there."""
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(BridgeError, match="not empty"):
        links.copy_sample_project(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("home", ["", "/nonexistent"])
def test_without_a_usable_home_the_project_goes_to_a_temporary_folder(
    home: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An empty HOME is no reason to fail."""
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", home)
    monkeypatch.setattr(tempfile, "mkdtemp", lambda prefix: str(tmp_path / prefix))
    assert demo_module.choose_folder(None, None).is_relative_to(tmp_path)


def test_what_a_model_wrote_cannot_move_the_cursor() -> None:
    """Control characters and line breaks do not reach the terminal."""
    assert links.one_line("a\x1b[2Jb\r\nc\x9b d\u202e") == "a [2Jb c d"


@pytest.mark.parametrize(
    ("stdout", "status", "told"),
    [
        ('{"ok": true, "checks": [{"name": "chain", "status": "PASS", "message": ""}]}', 0, None),
        ('{"ok": false, "checks": [{"name": "chain", "status": "FAIL", "message": "broken"}]}', 1, "chain: broken"),
        ('{"ok": true, "checks": []}', 0, "no check was made"),
        ("Traceback", 1, "gave no verdict"),
        ('{"ok": true}', 0, "gave no verdict"),
    ],
)
def test_only_an_audit_that_checked_something_vouches(
    stdout: str, status: int, told: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A verdict without checks, with a failed one, or none at all breaks the link."""
    done = subprocess.CompletedProcess([], status, stdout, "")
    monkeypatch.setattr(links, "_run", lambda *_: done)
    if told is None:
        assert links.audit(tmp_path, "m") == 1
    else:
        with pytest.raises(BridgeError, match=told):
            links.audit(tmp_path, "m")
