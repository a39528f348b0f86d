"""What is said of quotas before work begins: one line on stderr, honest about what is not known."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.cli.test_run import environ, project
from tests.cli.test_run_accounts import MODEL, Bench, bench
from tests.fakes.chatgpt_backend import said

__all__ = ["project"]


def quota_lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines about quotas on stderr."""
    return [line for line in done.stderr.splitlines() if "quota of " in line]


def test_a_run_says_what_is_known(project: Path) -> None:
    """Unknown at first, then what the answers told; stdout holds the answer and nothing else."""
    with bench(project, "a", script=lambda _: said("Done.")) as running:
        first = running.run("hello")
        (line,) = quota_lines(first)
        assert "quota of a@example.com (plus): unknown" in line
        assert first.stdout == "Done.\n"
        (line,) = quota_lines(running.run("hello", "--timeout", "600"))
        assert (
            "quota of a@example.com (plus): 5h 90% left, weekly 95% left; lasts for 10 min at the pace so far." in line
        )


def test_another_model_says_nothing(project: Path) -> None:
    """Open models have no windows; the line is for GPT names only."""
    with bench(project, "a", script=lambda _: said("Done.")) as running:
        assert quota_lines(mission(running, "mission-a3-kimi")) == []


def test_a_mission_with_a_gpt_name(project: Path) -> None:
    """The line comes before anything else, whatever becomes of the mission."""
    with bench(project, "a", script=lambda _: said("Done.")) as running:
        (line,) = quota_lines(mission(running, MODEL))
        assert "quota of a@example.com (plus): unknown" in line
        assert quota_lines(mission(running, MODEL, "--quiet")) == []


def mission(running: Bench, model: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a small mission with a model."""
    placed = {
        "XDG_CONFIG_HOME": str(running.path.parent.parent),
        "CODEX_OSS_CHATGPT_BASE_URL": running.backend.url,
        "CODEX_OSS_OAUTH_ISSUER": running.issuer.url,
        "GPT_MODEL_STRATEGY": "accounts",
    }
    command = [sys.executable, "-m", "codex_oss", "mission"]
    env = environ(running.project, None, **placed)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *words], capture_output=True, text=True, env=env, cwd=running.project, timeout=60
        )

    made = run("template", "--objective", "How many retries are made?", "--allowed-path", "app/retry.py")
    assert made.returncode == 0, made.stderr
    file = running.project / "mission.json"
    file.write_text(made.stdout)
    return run("run", str(file), "--model", model, "--timeout", "10", *arguments)
