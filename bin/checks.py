"""The steps of `bin/test`: run all that were asked for, whatever fails, and say at the end what happened.

Rules that hold here:

1. Standard library only; the tools are those of `.venv`, and the clients those of `tests/clients/package.json`.
2. A step that fails never hides the next one; the exit status is 0 only when no step failed.
3. What could not be run is said loudly, with the reason: a skipped test is not a passed one.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
CLIENTS = CACHE / "clients"
RESULTS = CACHE / "test-results.xml"
COVERAGE = CACHE / "coverage" / "data"
STEP_TIMEOUT_S = 1800
WORKERS = "3"
"""On two cores: many tests wait for a client or for a time-out."""
INSTALL_TIMEOUT_S = 240

DAILY = "not client and not local_model and not slow"
RUDE = "RUDE"
RUDE_TIMEOUT_S = 2400
"""All rows of the rude matrix: OpenCode's patience alone takes minutes."""
STATIC = {
    "FORMAT": ["ruff", "format", "--check", "."],
    "LINT": ["ruff", "check", "."],
    "TYPES": ["mypy"],
    "IMPORTS": ["lint-imports"],
}
PYTEST = {
    "UNIT": ["-m", DAILY],
    "CLIENTS": ["-m", "(client or local_model) and not rude"],
    "DOCS": ["tests/docs"],
    RUDE: ["tests/conversations", *(f"tests/clients/test_rude_{client}.py" for client in ("sdk", "codex", "opencode"))],
}
HELP = """\
usage: bin/test [SELECTION ...] [PYTEST ARGUMENT ...]

Sets itself up and runs everything: format, lint, types, import contracts, tests with the real clients and the
embedded model, docs examples.

selections:
  (none)    everything; a quarter of an hour on two cores
  FAST      the static checks and UNIT: for every day
  FORMAT    ruff format --check
  LINT      ruff check
  TYPES     mypy, strict
  IMPORTS   the import contracts of pyproject.toml
  UNIT      the tests without real clients and without the embedded model
  CLIENTS   the tests that drive Codex, OpenCode and the embedded model
  DOCS      the examples of README and docs/
  RUDE      the full proof: every row of the rude matrix (docs/failures.md) with every client, and 10,000 generated
            conversations: a quarter of an hour; the others run a part of it
  COVERAGE  everything, with the branch coverage of the tests and of the bridge's own processes: half as long again

Anything else goes to pytest:  bin/test tests/wire -k sse
"""


@dataclass
class Step:
    """One line of the summary."""

    name: str
    result: str
    seconds: float


@dataclass
class Session:
    """What was asked for and what happened."""

    steps: list[Step] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def run(self, name: str, command: Sequence[str], timeout_s: float = STEP_TIMEOUT_S, **environ: str) -> None:
        """Run a tool of `.venv` with its output shown, and note how it went."""
        print(f"\n=== {name}: {' '.join(command)}", flush=True)
        started = time.monotonic()
        tool = str(ROOT / ".venv" / "bin" / command[0])
        status = run_tool([tool, *command[1:]], environ, timeout_s=timeout_s)
        self.steps.append(Step(name, "ok" if status == 0 else f"FAILED ({status})", time.monotonic() - started))


def main(arguments: list[str]) -> int:
    """Run the selections of the command line."""
    if {"-h", "--help"} & set(arguments):
        print(HELP, end="")
        return 0
    os.chdir(ROOT)
    CACHE.mkdir(exist_ok=True)
    session = Session()
    words = [word for word in arguments if word in {*STATIC, *PYTEST, "FAST", "COVERAGE"}]
    rest = [word for word in arguments if word not in words]
    if unknown := [word for word in rest if word.isupper() and word.isalpha()]:
        print(f"error: no selection {unknown[0]}\nhint: bin/test --help lists them", file=sys.stderr)
        return 2
    everything = not arguments or "COVERAGE" in words
    if "FAST" in words:
        words = [*STATIC, "UNIT", *(word for word in words if word in ("CLIENTS", "DOCS", RUDE))]
    for name in STATIC if everything else [name for name in STATIC if name in words]:
        session.run(name.lower(), STATIC[name])
    if everything:
        install_clients(session)
        run_whole_suite(session, with_coverage="COVERAGE" in words)
    for name in [name for name in PYTEST if name in words]:
        if name in ("CLIENTS", RUDE):
            install_clients(session)
        timeout_s = RUDE_TIMEOUT_S if name == RUDE else STEP_TIMEOUT_S
        session.run(name.lower(), ["pytest", "-q", "-n", WORKERS, *PYTEST[name]], timeout_s)
    if rest:
        if any(word.startswith("tests/clients") for word in rest):
            install_clients(session)
        session.run("tests", ["pytest", "-q", *rest])
    return summarise(session)


def run_whole_suite(session: Session, *, with_coverage: bool) -> None:
    """All tests; with branch coverage, that of the bridge's own child processes included, when it is asked for."""
    RESULTS.unlink(missing_ok=True)
    suite = ["pytest", "-n", WORKERS, "-m", "not rude", f"--junitxml={RESULTS}"]
    if not with_coverage:
        session.run("tests", suite)
        session.warnings += skip_warnings(RESULTS)
        return
    shutil.rmtree(COVERAGE.parent, ignore_errors=True)
    COVERAGE.parent.mkdir(parents=True)
    session.run("tests", ["coverage", "run", "-m", *suite], 2 * STEP_TIMEOUT_S, COVERAGE_FILE=str(COVERAGE))
    session.warnings += skip_warnings(RESULTS)
    run_tool([str(ROOT / ".venv/bin/coverage"), "combine", "--quiet"], {"COVERAGE_FILE": str(COVERAGE)})
    session.run("coverage", ["coverage", "report"], COVERAGE_FILE=str(COVERAGE))


def install_clients(session: Session) -> None:
    """Bring the pinned clients into the cache; without npm, or when it cannot, the tests skip and the summary says."""
    pins = (ROOT / "tests/clients/package.json").read_bytes()
    stamp = CLIENTS / "installed.json"
    if stamp.exists() and stamp.read_bytes() == pins:
        return
    npm = shutil.which("npm")
    if npm is None:
        session.warnings.append("npm is not installed: the tests with the real Codex CLI and OpenCode did not run")
        return
    print("\n=== npm: install the clients (once; about 760 MB)", flush=True)
    started = time.monotonic()
    shutil.rmtree(CLIENTS, ignore_errors=True)
    CLIENTS.mkdir(parents=True)
    (CLIENTS / "package.json").write_bytes(pins)
    environ = {} if usable_home() else {"HOME": str(CLIENTS), "npm_config_cache": str(CACHE / "npm")}
    # Each client pins its own platform packages exactly, and a lock made here would miss those of other platforms.
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--no-update-notifier"]
    status = run_tool([npm, "install", "--loglevel=error", *options], environ, CLIENTS, INSTALL_TIMEOUT_S)
    if status == 0:
        # The one script that is needed: it puts OpenCode's program for this processor in its place.
        script = CLIENTS / "node_modules/opencode-ai/postinstall.mjs"
        status = run_tool(["node", script.name], environ, script.parent, INSTALL_TIMEOUT_S)
    if status == 0:
        stamp.write_bytes(pins)
    else:
        session.warnings.append(
            "npm could not install the clients: the tests with the real Codex CLI and OpenCode skip"
        )
    session.steps.append(Step("npm", "ok" if status == 0 else "not installed", time.monotonic() - started))


def usable_home() -> bool:
    """Whether HOME is a folder that tools may write their caches to."""
    home = os.environ.get("HOME", "")
    return bool(home) and os.path.isdir(home) and os.access(home, os.W_OK)


def run_tool(
    command: Sequence[str], environ: dict[str, str], cwd: Path = ROOT, timeout_s: float = STEP_TIMEOUT_S
) -> int:
    """Run a program in its own process group; its status, or 124 when it took too long and was ended."""
    outer = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    with subprocess.Popen(command, cwd=cwd, env=outer | environ, stdin=subprocess.DEVNULL, process_group=0) as child:  # noqa: S603
        try:
            return child.wait(timeout_s)
        except (subprocess.TimeoutExpired, KeyboardInterrupt) as exc:
            os.killpg(child.pid, signal.SIGTERM)
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
            if isinstance(exc, KeyboardInterrupt):
                raise
            return 124


def skip_warnings(results: Path) -> list[str]:
    """One line for each reason for which tests were skipped, with their number."""
    try:
        cases = ElementTree.parse(results).iter("skipped")  # noqa: S314 - our own pytest wrote it
        reasons = Counter((case.get("message") or "no reason given").strip() for case in cases)
    except (OSError, ElementTree.ParseError):
        return ["the test results could not be read"]
    return [f"{count} test(s) skipped: {reason}" for reason, count in sorted(reasons.items())]


def summarise(session: Session) -> int:
    """Print the table and what did not run; the exit status."""
    print("\n=== summary")
    for step in session.steps:
        print(f"  {step.name:<10} {step.result:<14} {step.seconds:6.1f} s")
    if session.warnings:
        print("\n" + "!" * 100)
        for warning in session.warnings:
            print(f"!!! NOT RUN: {warning}")
        print("!" * 100)
    failed = [step.name for step in session.steps if step.result.startswith("FAILED")]
    print(f"\nbin/test: {'FAILED: ' + ', '.join(failed) if failed else 'all steps passed'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
