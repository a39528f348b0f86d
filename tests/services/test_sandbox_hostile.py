"""Commands that mean harm: bombs, links, descriptors, terminals, and system calls that go round the walls.

Nothing here is unbounded: a bomb of these tests ends by itself also where the sandbox fails to stop it.
"""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop

from codex_oss.errors import SandboxError
from codex_oss.services import sandbox
from codex_oss.services.sandbox import SandboxLevel
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

needs_landlock = pytest.mark.skipif(bool(cannot_be_here("landlock")), reason=cannot_be_here("landlock") or "it works")
MANY = 300
"""Processes that a bomb makes at most."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with a repository, a folder, and a neighbour that is none of its business."""
    project = tmp_path / "project"
    (project / ".git").mkdir(parents=True)
    (project / "src").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("whole")
    return project


@at_every_level
async def test_a_bomb_of_processes_is_ended_whole(level: SandboxLevel, root: Path) -> None:
    """More processes than allowed, each in a session of its own, and all of them are gone."""
    mark = f"canary-{os.getpid()}-{level}-bomb"
    sleeper = [PYTHON, "-I", "-S", "-c", "import time; time.sleep(40)", mark]
    program = (
        f"import os, time\nfor _ in range({MANY}):\n"
        f"    if os.fork() == 0:\n        os.setsid()\n        os.execv({PYTHON!r}, {sleeper!r})\ntime.sleep(40)"
    )
    done = await run(python(program), root, level, limits=Limits(timeout_s=30.0, processes=40))
    assert done.cut == "processes" or (os.geteuid() != 0 and "BlockingIOError" in done.output)
    assert processes_with(mark) == []


def test_a_user_without_rights_meets_a_hard_limit_of_processes() -> None:
    """For an ordinary user the kernel itself refuses the next process."""
    program = (
        "import asyncio, os, tempfile\nfrom pathlib import Path\n"
        "from codex_oss.services.sandbox import LADDER, level_problem, run_sandboxed\n"
        "from codex_oss.services.sandbox_enclosure import Limits\n"
        "code = '''import os, time\n"
        f"for made in range({MANY}):\n"
        "    try:\n        child = os.fork()\n"
        "    except BlockingIOError:\n        print('refused', made); break\n"
        "    if child == 0: time.sleep(20); os._exit(0)\n'''\n"
        "root = tempfile.mkdtemp()\n"
        "for level in LADDER:\n"
        "    if not level_problem(level):\n"
        "        print(asyncio.run(run_sandboxed(['/usr/bin/python3', '-S', '-c', code], root=Path(root), writable=[],"
        " timeout_s=20, max_output_bytes=1000, environ=os.environ, level=level,"
        " limits=Limits(timeout_s=20, processes=30))).output)\n"
    )
    told = as_nobody(program)
    assert told.stderr == ""
    refusals = [int(line.split()[1]) for line in told.stdout.splitlines() if line.startswith("refused")]
    assert refusals, told.stdout
    assert all(made <= 30 for made in refusals)


@at_every_level
async def test_memory_is_bounded_for_one_and_for_all(level: SandboxLevel, root: Path) -> None:
    """One process is refused the memory; many that stay below the bound each are ended together."""
    limits = Limits(timeout_s=30.0, memory_bytes=200 << 20)
    done = await run(python("x = bytearray(250 << 20)"), root, level, limits=limits)
    assert "MemoryError" in done.output
    hog = f"{PYTHON} -I -S -c 'import time; x = bytearray(90 << 20); time.sleep(30)' & "
    done = await run(hog * 4 + "wait", root, level, limits=limits)
    assert (done.exit_code, done.cut) == (137, "memory")


@at_every_level
async def test_processor_time_and_files_are_bounded(level: SandboxLevel, root: Path) -> None:
    """A file ends at its bound, and a process that only computes ends with the time of all processors."""
    limits = Limits(timeout_s=30.0, file_bytes=1 << 20)
    done = await run("dd if=/dev/zero of=src/big bs=1M count=5 2>/dev/null", root, level, limits=limits)
    assert done.exit_code == 128 + signal.SIGXFSZ
    assert (root / "src" / "big").stat().st_size == 1 << 20
    told = await run("ulimit -t; ulimit -c", root, level, limits=Limits(timeout_s=3.0))
    assert told.output.split() == [str(3 * (os.cpu_count() or 1) + 1), "0"]


@at_every_level
async def test_links_lead_nowhere(level: SandboxLevel, root: Path) -> None:
    """Neither links that lie in the project nor links that a command makes open what they point to."""
    outside = root.parent / "outside"
    (root / "old-link").symlink_to(outside)
    (root / "src" / "old-file-link").symlink_to(outside / "file")
    program = (
        f"ln -s {outside} src/link; ln {outside}/file src/hard; cat src/link/file src/hard old-link/file "
        f"src/old-file-link; echo x > src/link/new; echo x > old-link/new; echo x >> src/old-file-link; "
        f"mv {outside}/file src/moved; mkdir -p src/a && mv src/a {outside}/a; true"
    )
    done = await run(program, root, level)
    assert "whole" not in done.output
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").read_text() == "whole"


@at_every_level
async def test_no_descriptor_leads_out(level: SandboxLevel, root: Path) -> None:
    """Only the first three are open, and none of them opens a folder of the host's again."""
    held = os.open(root.parent / "outside" / "file", os.O_RDONLY)
    os.set_inheritable(held, True)
    try:
        program = (
            "import os\nopen_ones = []\n"
            "for fd in range(4096):\n"
            "    try:\n        os.fstat(fd); open_ones.append(fd)\n    except OSError:\n        pass\n"
            "print(open_ones)\n"
            "for path in ('/proc/self/cwd/../outside/file', '/proc/self/root' + os.getcwd() + '/../outside/file',"
            " '/proc/1/root' + os.getcwd() + '/../outside/file', '/proc/self/fd/3'):\n"
            "    try:\n        print(open(path).read())\n    except OSError as exc:\n        print(exc.errno)\n"
        )
        done = await run(python(program), root, level)
    finally:
        os.close(held)
    assert done.output.startswith("[0, 1, 2]\n")
    assert "whole" not in done.output


@at_every_level
def test_the_terminal_is_out_of_reach(level: SandboxLevel, root: Path) -> None:
    """A command has no controlling terminal and can push no keys into the one that its user sits at."""
    ours, theirs = pty.openpty()
    attack = (
        "import fcntl, os\n"
        f"for path in ('/dev/tty', {os.ttyname(theirs)!r}, '/dev/stdin'):\n"
        "    try:\n        fd = os.open(path, os.O_RDWR | os.O_NOCTTY)\n"
        "        fcntl.ioctl(fd, 0x5412, b'x'); print('pushed')\n"
        "    except OSError as exc:\n        print(exc.errno)\n"
        "try:\n    fcntl.ioctl(1, 0x5412, b'x')\nexcept OSError as exc:\n    print('refused', exc.errno)\n"
    )
    program = (
        "import asyncio, os\nfrom pathlib import Path\nfrom codex_oss.services.sandbox import run_sandboxed\n"
        f"print(asyncio.run(run_sandboxed({python(attack)!r}, root=Path({str(root)!r}), writable=[], timeout_s=20, "
        f"max_output_bytes=1000, environ={home_beside(root)!r}, level={level!r})).output)"
    )
    told = subprocess.run(
        [sys.executable, "-c", program],
        stdin=theirs,
        capture_output=True,
        text=True,
        start_new_session=True,
        check=True,
    )
    os.close(ours)
    os.close(theirs)
    assert "pushed" not in told.stdout
    assert "refused 1" in told.stdout, "the filter answers EPERM, whatever the descriptor is"


CALLS = {
    "io_uring_setup": "libc.syscall(425, 1, ctypes.create_string_buffer(256))",
    "unshare": "libc.unshare(0x10000000)",
    "clone": "libc.syscall({'x86_64': 56, 'aarch64': 220}[os.uname().machine], 0x10000000 | 17, 0, 0, 0, 0)",
    "clone3": "libc.syscall(435, ctypes.create_string_buffer(88), 88)",
    "mount": "libc.mount(b'none', b'/tmp', b'tmpfs', 0, None)",
    "keyctl": "libc.syscall({'x86_64': 250, 'aarch64': 219}[os.uname().machine], 0, -3, 1)",
    "bpf": "libc.syscall({'x86_64': 321, 'aarch64': 280}[os.uname().machine], 0, None, 0)",
    "perf_event_open": "libc.syscall({'x86_64': 298, 'aarch64': 241}[os.uname().machine], None, 0, -1, -1, 0)",
}


@at_every_level
async def test_calls_that_go_round_the_walls_are_refused(level: SandboxLevel, root: Path) -> None:
    """Rings, namespaces, mounts, keyrings and programs in the kernel, each by its bare number."""
    program = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n" + "".join(
        f"print({name!r}, {call}, ctypes.get_errno())\n" for name, call in CALLS.items()
    )
    done = await run(python(program), root, level)
    told = {line.split()[0]: tuple(line.split()[1:]) for line in done.output.splitlines()}
    assert told == {name: ("-1", "38" if name == "clone3" else "1") for name in CALLS}


@at_every_level
async def test_numbers_of_another_calling_convention_are_deadly(level: SandboxLevel, root: Path) -> None:
    """x32 numbers would be other calls than the filter knows."""
    if os.uname().machine != "x86_64":
        pytest.skip("only x86_64 has a second convention with the same architecture")
    program = "import ctypes, os\nctypes.CDLL(None).syscall(0x40000000 | 41, 2, 1, 0)\nprint('alive')"
    done = await run(python(program), root, level)
    assert (done.exit_code, done.output) == (128 + signal.SIGSYS, "")


@at_every_level
async def test_other_processes_of_the_user_are_left_alone(level: SandboxLevel, root: Path) -> None:
    """Limits, priority and memory of a process outside can be neither changed nor read."""
    victim = subprocess.Popen([PYTHON, "-I", "-S", "-c", "import time; time.sleep(60)"])  # noqa: ASYNC220
    try:
        program = (
            "import os, resource\n"
            f"pid = {victim.pid}\n"
            "tries = [lambda: resource.prlimit(pid, resource.RLIMIT_CPU, (1, 1)),\n"
            "         lambda: os.setpriority(os.PRIO_PROCESS, pid, 19), lambda: os.sched_setaffinity(pid, {0}),\n"
            "         lambda: os.pidfd_open(pid) and __import__('signal').pidfd_send_signal(os.pidfd_open(pid), 9),\n"
            "         lambda: open(f'/proc/{pid}/mem', 'rb'), lambda: open(f'/proc/{pid}/environ').read()]\n"
            "for number, attempt in enumerate(tries):\n"
            "    try:\n        attempt(); print('reached', number)\n"
            "    except OSError as exc:\n        print('kept', exc.errno)\n"
        )
        done = await run(python(program), root, level)
        assert "reached" not in done.output
        assert done.output.count("kept") == 6
        assert victim.poll() is None
        assert os.getpriority(os.PRIO_PROCESS, victim.pid) == os.getpriority(os.PRIO_PROCESS, 0)
    finally:
        victim.kill()
        victim.wait()


@at_every_level
async def test_no_capability_is_left(level: SandboxLevel, root: Path) -> None:
    """Also as root: what a command may do follows from files and namespaces alone."""
    done = await run("grep -E '^(Cap(Eff|Prm|Bnd|Amb)|NoNewPrivs|Seccomp):' /proc/self/status", root, level)
    if level == "landlock":
        program = (
            "import ctypes, os, struct\nlibc = ctypes.CDLL(None)\n"
            "print([libc.prctl(23, number, 0, 0, 0) for number in range(41)], libc.prctl(39, 0, 0, 0, 0))"
        )
        done = await run(python(program), root, level)
        granted = 0 if os.geteuid() == 0 else 1
        assert done.output == f"{[granted] * 41} 1\n" or os.geteuid() != 0
        return
    told = dict(line.split(":\t") for line in done.output.splitlines())
    assert {name: int(value, 16) for name, value in told.items()} == {
        **dict.fromkeys(("CapEff", "CapPrm", "CapBnd", "CapAmb"), 0),
        "NoNewPrivs": 1,
        "Seccomp": 2,
    }


@needs_landlock
@pytest.mark.parametrize("abi", [1, 2, 3, 4, 5])
def test_an_older_landlock_keeps_the_same(abi: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an older kernel cannot forbid is forbidden by the filter: the proofs hold with every ABI."""
    monkeypatch.setattr(sandbox, "landlock_abi", lambda: abi)
    held = {proof.name: proof.held for proof in prove("landlock", os.environ)}
    assert all(held.values()), held


@needs_landlock
async def test_an_older_landlock_does_not_cut_files(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below ABI 3 `truncate` by path is the filter's business."""
    monkeypatch.setattr(sandbox, "landlock_abi", lambda: 2)
    outside = root.parent / "outside" / "file"
    done = await run(python(f"import os\nos.truncate({str(outside)!r}, 0)"), root, "landlock")
    assert "PermissionError" in done.output
    assert outside.read_text() == "whole"


@at_every_level
async def test_a_folder_that_nobody_can_remove_costs_nothing(level: SandboxLevel, root: Path) -> None:
    """Closed and endlessly nested folders in TMPDIR: the result comes all the same, and nothing stays behind."""
    program = (
        "import os\nos.chdir(os.environ['TMPDIR'])\nprint(os.getcwd())\n"
        "os.makedirs('closed/in/it')\nos.chmod('closed', 0)\n"
        "for _ in range(1500):\n    os.mkdir('deep'); os.chdir('deep')\n"
    )
    done = await run(python(program), root, level)
    assert done.exit_code == 0
    if level == "landlock":  # elsewhere it was a file system of the command's own
        await asyncio.to_thread(wait_for, lambda: not os.path.exists(done.output.strip()))


@at_every_level
@pytest.mark.parametrize("command", [[], ["echo", "a\0b"], "echo a\0b"])
async def test_what_is_no_command_is_refused(level: SandboxLevel, root: Path, command: str | list[str]) -> None:
    """Nothing, or a NUL character."""
    with pytest.raises(SandboxError, match="no command"):
        await run(command, root, level)


@at_every_level
async def test_the_output_of_bytes_is_shown(level: SandboxLevel, root: Path) -> None:
    """What is no UTF-8 is replaced, in the arguments it is passed as it is."""
    done = await run(["printf", "%s|\\377\\376", os.fsdecode(b"\xe9")], root, level)
    assert done.output == "\ufffd|\ufffd\ufffd"


@at_every_level
def test_every_loop_runs_it(level: SandboxLevel, root: Path) -> None:
    """The bridge's own event loop, too."""
    done = uvloop.run(run("echo hi; sleep 0.1; echo ho", root, level))
    assert (done.exit_code, done.output) == (0, "hi\nho\n")


@at_every_level
async def test_who_watches_is_out_of_reach(level: SandboxLevel, root: Path) -> None:
    """A command can end neither its parent nor everybody it can name; it goes on, and is told as usual."""
    done = await run("kill -9 $PPID; kill -STOP $PPID; kill -9 -1; echo still here; exit 5", root, level)
    assert done.output.endswith("still here\n")
    assert (done.exit_code, done.cut) == (5, "")


@at_every_level
async def test_who_never_stands_still_is_caught(level: SandboxLevel, root: Path) -> None:
    """A process that lives on in a new one every moment cannot be listed in time, and ends all the same."""
    runner = (
        "import os, time\nends_at = time.monotonic() + 20\n"
        "if os.fork():\n    os._exit(0)\nos.setsid()\n"
        "while time.monotonic() < ends_at:\n"
        "    if os.fork():\n        os._exit(0)\n"
        "    os.utime('src/beat')\n"
    )
    beat = root / "src" / "beat"
    beat.touch()
    done = await run(python(runner), root, level)
    assert done.exit_code == 0
    last = os.stat(beat).st_mtime_ns
    await asyncio.sleep(0.5)
    assert os.stat(beat).st_mtime_ns == last
