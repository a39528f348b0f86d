"""Commands in the sandbox, for real, at every level that works here."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from codex_oss.errors import SandboxError
from codex_oss.services import sandbox
from codex_oss.services.sandbox import SandboxLevel, run_sandboxed
from codex_oss.services.sandbox_attacks import PROGRAMS
from codex_oss.services.sandbox_enclosure import Limits
from codex_oss.services.sandbox_proofs import prove
from tests.services.sandboxes import (
    PYTHON,
    as_nobody,
    at_every_level,
    cannot_be_here,
    home_beside,
    processes_with,
    python,
    run,
    wait_for,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with a repository and a folder."""
    project = tmp_path / "project"
    (project / ".git" / "hooks").mkdir(parents=True)
    (project / "src").mkdir()
    (project / "README").write_text("read me\n")
    return project


@at_every_level
def test_every_attack_is_held(level: SandboxLevel) -> None:
    """What succeeds without the sandbox fails in it: secrets, writes, connections, signals, survival."""
    proofs = prove(level, os.environ)
    assert [proof.name for proof in proofs] == list(PROGRAMS)
    assert [(proof.name, proof.message) for proof in proofs if not proof.held] == []


def test_every_attack_is_held_for_a_user_without_rights() -> None:
    """The same proofs, run by a user who is nobody: each level works for him and keeps the same."""
    program = (
        "import os\nfrom codex_oss.services.sandbox import LADDER, level_problem\n"
        "from codex_oss.services.sandbox_proofs import prove\n"
        "for level in LADDER:\n"
        "    print(level, level_problem(level) or [p.name for p in prove(level, os.environ) if not p.held])\n"
    )
    told = as_nobody(program)
    assert told.stderr == ""
    for line in told.stdout.splitlines():
        level, _, rest = line.partition(" ")
        assert rest == "[]" or cannot_be_here(level), line
    assert len(told.stdout.splitlines()) == 2


@at_every_level
async def test_a_command_is_told_as_it_was(level: SandboxLevel, root: Path) -> None:
    """Both outputs in the order of writing, its exit code, its folder, and the level that enclosed it."""
    done = await run("echo one; echo two >&2; pwd; exit 7", root, level)
    assert done.output == f"one\ntwo\n{root}\n"
    assert (done.exit_code, done.timed_out, done.sandbox, done.cut) == (7, False, level, "")
    assert (await run("kill -SEGV $$", root, level)).exit_code == 128 + signal.SIGSEGV
    assert (await run("no-such-command", root, level)).exit_code == 127


@at_every_level
async def test_writing_is_for_writable_folders(level: SandboxLevel, root: Path) -> None:
    """Files are made, changed and removed beneath a writable folder, and nowhere when there is none."""
    (root / "src" / "old").write_text("old")
    done = await run("echo new > src/new && echo more >> src/old && mv src/old src/older && cat README", root, level)
    assert (done.exit_code, done.output) == (0, "read me\n")
    assert (root / "src" / "older").read_text() == "oldmore\n"
    done = await run("echo no > src/no; echo no >> README; rm src/new", root, level, writable=False)
    assert done.exit_code != 0
    assert not (root / "src" / "no").exists()
    assert (root / "README").read_text() == "read me\n"
    assert (root / "src" / "new").exists()


@at_every_level
async def test_a_part_of_the_project_can_be_the_writable_one(level: SandboxLevel, root: Path) -> None:
    """Only beneath the named folder; its own repository, if it has one, stays as it is."""
    (root / "src" / ".git").mkdir()
    (root / "src" / "deep").mkdir()
    (root / "other").mkdir()
    done = await run_sandboxed(
        "echo x > src/deep/x; echo x > other/x; echo x > src/.git/x; true",
        root=root,
        writable=[Path("src")],
        timeout_s=20,
        max_output_bytes=1000,
        environ=home_beside(root),
        level=level,
    )
    assert done.exit_code == 0
    assert [place for place in ("src/deep/x", "other/x", "src/.git/x") if (root / place).exists()] == ["src/deep/x"]


@at_every_level
async def test_no_repository_and_no_settings_come_into_being(level: SandboxLevel, tmp_path: Path) -> None:
    """Where there is no `.git` and no `.codex-oss` none can be made, by no name, and nothing of ours stays behind."""
    root = tmp_path / "bare"
    (root / "src").mkdir(parents=True)
    program = (
        "mkdir -p .git/hooks .codex-oss; echo x > .git/config; echo x > .codex-oss/config.toml; "
        "mkdir src/made; mv src/made .git; ln -s src .git; true"
    )
    done = await run(program, root, level)
    assert done.exit_code == 0
    assert [path.name for path in root.iterdir()] == ["src"]


@at_every_level
async def test_two_commands_share_what_is_made_for_them(level: SandboxLevel, tmp_path: Path) -> None:
    """The end of one does not uncover for the other what both must not make."""
    root = tmp_path / "bare"
    (root / "src").mkdir(parents=True)
    late = "until [ -e src/go ]; do sleep 0.05; done; mkdir .git 2>/dev/null; echo x > .git/config; echo done"
    slow = asyncio.create_task(run(late, root, level))
    await asyncio.sleep(0.5)
    await run("true", root, level)
    (root / "src" / "go").touch()
    assert (await slow).output.endswith("done\n")
    assert sorted(path.name for path in root.iterdir()) == ["src"]


@at_every_level
async def test_the_repository_of_a_worktree_is_kept_too(level: SandboxLevel, root: Path) -> None:
    """A `.git` file that points into a writable folder guards what it points to."""
    (root / "tree" / "src").mkdir(parents=True)
    (root / "repos" / "tree").mkdir(parents=True)
    (root / "tree" / ".git").write_text("gitdir: ../repos/tree\n")
    done = await run_sandboxed(
        "echo x > tree/src/ok; echo x > tree/.git; echo x > repos/tree/config; echo x > repos/beside; true",
        root=root,
        writable=[root / "tree", root / "repos"],
        timeout_s=20,
        max_output_bytes=1000,
        environ=home_beside(root),
        level=level,
    )
    assert done.exit_code == 0
    assert (root / "tree" / "src" / "ok").exists()
    assert (root / "tree" / ".git").read_text() == "gitdir: ../repos/tree\n"
    assert not (root / "repos" / "tree" / "config").exists()


@at_every_level
async def test_records_and_keys_of_the_bridge_are_hidden(level: SandboxLevel, root: Path) -> None:
    """`.codex-oss` can be neither read nor changed."""
    (root / ".codex-oss" / "state").mkdir(parents=True)
    (root / ".codex-oss" / "state" / "key").write_text("sk-canary")
    done = await run("cat .codex-oss/state/key; echo x > .codex-oss/state/key; rm -r .codex-oss; true", root, level)
    assert "canary" not in done.output
    assert (root / ".codex-oss" / "state" / "key").read_text() == "sk-canary"


@at_every_level
async def test_the_environment_is_made_of_a_list(level: SandboxLevel, root: Path) -> None:
    """No key, no agent, no preloaded library gets through; PATH holds visible folders only; HOME is its own."""
    environ = home_beside(root) | {
        "OPENAI_API_KEY": "sk-canary",
        "AWS_SECRET_ACCESS_KEY": "canary",
        "SSH_AUTH_SOCK": "/run/canary",
        "LD_PRELOAD": "/canary.so",
        "BASH_ENV": "/canary",
        "PYTHONPATH": "/canary",
        "GIT_DIR": "/canary",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "PATH": f"{root.parent}/home/bin:relative:{root}/bin:/usr/bin/../../canary:/usr/bin",
    }
    done = await run("env; touch $HOME/x && ls $HOME; touch $TMPDIR/y", root, level, environ=environ)
    told = dict(line.split("=", 1) for line in done.output.splitlines() if "=" in line)
    assert "canary" not in done.output
    assert done.exit_code == 0
    assert told["TZ"] == "UTC"
    assert told["PATH"].split(":")[:2] == [f"{root}/bin", "/usr/bin"]
    assert not any(part.startswith(str(root.parent / "home")) for part in told["PATH"].split(":"))
    assert list((root.parent / "home").iterdir()) == []


@at_every_level
async def test_endless_output_is_bounded_while_it_comes(level: SandboxLevel, root: Path) -> None:
    """The beginning and the end are kept, the middle is counted; nothing grows with what a command writes."""
    done = await run("echo begin; yes | head -c 5000000; echo end", root, level, max_output_bytes=1000)
    assert done.output.startswith("begin\n")
    assert done.output.endswith("end\n")
    assert done.left_out_bytes == 5_000_000 + len("begin\nend\n") - 1000
    assert f"[{done.left_out_bytes} bytes left out]" in done.output
    assert len(done.output) < 1100


@at_every_level
async def test_time_ends_whoever_ignores_it(level: SandboxLevel, root: Path) -> None:
    """A command that ignores every signal it can ends with its time, and so does all that it started."""
    mark = f"canary-{os.getpid()}-{level}-time"
    program = f"trap '' TERM INT HUP; setsid {PYTHON} -c 'import time; time.sleep(60)' {mark} & while :; do :; done"
    done = await run(program, root, level, limits=Limits(timeout_s=1.0))
    assert (done.exit_code, done.timed_out, done.cut) == (124, True, "time")
    assert processes_with(mark) == []


@at_every_level
async def test_whoever_waits_no_longer_ends_the_command(level: SandboxLevel, root: Path) -> None:
    """Cancelling returns when nothing is left of the command."""
    mark = f"canary-{os.getpid()}-{level}-cancel"
    program = f"setsid {PYTHON} -c 'import time; time.sleep(60)' {mark} & touch src/started; wait"
    task = asyncio.create_task(run(program, root, level))
    await asyncio.to_thread(wait_for, (root / "src" / "started").exists)
    assert processes_with(mark)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert processes_with(mark) == []


@at_every_level
@pytest.mark.parametrize("victim", ["ours", "watcher"])
def test_a_killed_parent_leaves_nobody(level: SandboxLevel, victim: str, root: Path) -> None:
    """`kill -9` of our process, or of the one above the command, ends everything beneath, double forks included."""
    mark = f"canary-{os.getpid()}-{level}-{victim}"
    sleeper = [PYTHON, "-I", "-S", "-c", "import time; time.sleep(60)", mark]
    inner = (
        f"import os\nif os.fork() == 0:\n os.setsid()\n os.fork()\n os.execv({sleeper[0]!r}, {sleeper!r})\nos.wait()"
    )
    program = (
        "import asyncio\nfrom pathlib import Path\nfrom codex_oss.services.sandbox import run_sandboxed\n"
        f"asyncio.run(run_sandboxed({python(inner)!r}, root=Path({str(root)!r}), writable=[], timeout_s=60, "
        f"max_output_bytes=100, environ={home_beside(root)!r}, level={level!r}))"
    )
    ours = subprocess.Popen([sys.executable, "-c", program])
    try:
        wait_for(lambda: len(processes_with(mark)) >= 2)
        watcher = int(Path(f"/proc/{ours.pid}/task/{ours.pid}/children").read_text().split()[0])
        os.kill(ours.pid if victim == "ours" else watcher, signal.SIGKILL)
        wait_for(lambda: processes_with(mark) == [])
    finally:
        ours.kill()
        ours.wait()


@at_every_level
async def test_a_command_that_ends_takes_its_background_along(level: SandboxLevel, root: Path) -> None:
    """What a command leaves running is ended with it, and its output is not waited for."""
    mark = f"canary-{os.getpid()}-{level}-background"
    began = time.monotonic()
    done = await run(f"setsid {PYTHON} -c 'import time; time.sleep(60)' {mark} & echo started", root, level)
    assert (done.exit_code, done.output) == (0, "started\n")
    assert processes_with(mark) == []
    assert time.monotonic() - began < 30, "the sleeper was waited for"


async def test_nothing_runs_without_a_level(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing encloses, a command is refused; by the user's own setting it runs, and the result says how."""
    monkeypatch.setattr(sandbox, "probe_sandbox", lambda: "none")
    arguments = {
        "root": root,
        "writable": [],
        "timeout_s": 20.0,
        "max_output_bytes": 100,
        "environ": home_beside(root) | {"SECRET_KEY": "canary"},
    }
    with pytest.raises(SandboxError, match="nothing encloses them") as refused:
        await run_sandboxed("touch src/ran", **arguments)  # type: ignore[arg-type]
    assert refused.value.code == "sandbox_unavailable"
    assert not (root / "src" / "ran").exists()
    done = await run_sandboxed("touch src/ran; env | grep -c canary", allow_none=True, **arguments)  # type: ignore[arg-type]
    assert (done.sandbox, done.output) == ("none", "0\n")
    assert (root / "src" / "ran").exists()


@at_every_level
async def test_a_level_that_fails_is_not_replaced(
    level: SandboxLevel, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the enclosure cannot be built this time, the command does not run at all, not even at another level."""
    monkeypatch.setattr(sandbox, "find_bwrap", lambda: "/usr/bin/false")
    monkeypatch.setattr(sandbox, "landlock_abi", lambda: 999_999 if level == "landlock" else 1)
    monkeypatch.setattr("codex_oss.services.sandbox._START", START_WITH_BROKEN_LANDLOCK)
    with pytest.raises(SandboxError) as failed:
        await run("touch src/ran", root, level)
    assert failed.value.code == "sandbox_failed"
    assert not (root / "src" / "ran").exists()


START_WITH_BROKEN_LANDLOCK = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from codex_oss.services import sandbox_landlock; "
    "sandbox_landlock._CREATE_RULESET = 9999; from codex_oss.services.sandbox_child import main; main()"
)


@at_every_level
async def test_everyday_tools_work(level: SandboxLevel, root: Path) -> None:
    """git reads, also where it cannot see the machine's configuration; pipes, substitutions and background jobs run."""
    if shutil.which("git", path="/usr/bin") is None:
        pytest.skip("git is not installed in /usr/bin")
    subprocess.run(["git", "init", "-q", str(root)], check=True)  # noqa: ASYNC221
    done = await run("git status --short && cat <(seq 3 | sort -r) && (sleep 0.05 & wait) && echo ok", root, level)
    assert done.output == "?? README\n3\n2\n1\nok\n"
    denied = await run("git add README", root, level)
    assert denied.exit_code != 0
    assert not (root / ".git" / "index").exists()
