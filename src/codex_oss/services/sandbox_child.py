"""The process above an enclosed command: it starts it, watches it and ends everything that it left behind.

Counterpart: `services.sandbox`, which starts this module with one line of JSON on stdin and keeps stdin open.

    stdin: order, then a leash ──► fork ──► limits, level, exec: the command
                                     │
            leash cut, time up, too many processes, too much memory, or the command has ended
                                     ▼
                 stop all, kill all, reap all ──► one line of JSON on the report's descriptor

Rules that hold here:

1. Whoever started us may die at any moment without a word (`kill -9`): the kernel then cuts the leash, and nothing
   survives. Whoever is beneath us stays beneath us (`PR_SET_CHILD_SUBREAPER`).
2. The command gets stdin of nothing, our stdout for both its outputs, and no other descriptor.
3. Only the standard library is imported, and nothing is read from the environment.
4. A command that could not be enclosed is not started: between fork and exec every failure is final.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
from contextlib import suppress
from typing import Any, Final

from codex_oss.services.sandbox_bwrap import TEMPORARY, bwrap_arguments, missing_places
from codex_oss.services.sandbox_enclosure import Enclosure, Limits
from codex_oss.services.sandbox_landlock import SCOPE_ABI, confine, libc
from codex_oss.services.sandbox_marshal import PR_SET_CHILD_SUBREAPER, marshal, tell_line
from codex_oss.services.sandbox_seccomp import ALWAYS, filter_program, machine
from codex_oss.services.sandbox_tree import descendants, end_all, reap_all, threads_of_user, wait_ended

TICK_S: Final = 0.05
"""Distance of two looks at the tree; what runs away in between is bounded by the limits of each process."""
MAX_ORDER_BYTES: Final = 4 * 1024 * 1024
MAX_REPORT_BYTES: Final = 65_536
MARSHAL_TIMEOUT_S: Final = 2.0
_PR_SET_PDEATHSIG: Final = 1


def main() -> int:
    """Read the order, run it, report. The exit status says nothing; the report does."""
    report_fd = int(sys.argv[1])
    order = json.loads(_first_line())
    libc().prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    enclosure = Enclosure(**{name: _tuples(value) for name, value in order["enclosure"].items()})
    limits = Limits(**order["limits"])
    started = time.monotonic()
    folder = tempfile.mkdtemp(prefix="codex-oss-sandbox-")
    try:
        report = _Scene(order, enclosure, limits, os.path.realpath(folder)).run()
        report["seconds"] = round(time.monotonic() - started, 4)
        with suppress(BrokenPipeError):
            os.write(report_fd, json.dumps(report).encode() + b"\n")
    finally:
        _remove(folder)
    return 0


class _Scene:
    """One command from its start to the end of all it started."""

    def __init__(self, order: dict[str, Any], enclosure: Enclosure, limits: Limits, temporary: str) -> None:
        self.level: str = order["level"]
        self.argv: list[str] = order["argv"]
        self.folder: str = order["folder"]
        self.abi: int = order["abi"]
        self.bwrap: str = order["bwrap"]
        self.enclosure = enclosure
        self.limits = limits
        self.temporary = temporary
        inside = TEMPORARY if self.level == "bwrap" else temporary
        self.environ: dict[str, str] = {**order["environ"], "HOME": inside, "TMPDIR": inside}
        self.rlimits = _rlimits(limits)

    def run(self) -> dict[str, Any]:
        """What became of the command: `status` (wait status) or `problem`, and `cut` when it was ended by us."""
        with _Placeholders(self.enclosure if self.level == "bwrap" else None):
            told, tell = os.pipe()
            leash, hold = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(hold)
                self._become(tell, leash)
            os.close(tell)
            os.close(leash)
            null = os.open(os.devnull, os.O_RDWR)
            for fd in (1, 2):
                os.dup2(null, fd)  # the end of the command must be the end of its output
            status, cut = self._watch(child)
            os.close(hold)
            self._end(child)
        return _told(_read_all(told), status, cut, self.level)

    def _end(self, child: int) -> None:
        """The marshal ends all at once; whoever is left then is ended one by one."""
        wait_ended(child, MARSHAL_TIMEOUT_S)
        end_all(os.getpid(), reap=True)
        reap_all()

    def _watch(self, child: int) -> tuple[int, str]:
        """Wait for the command, the leash, the time or a tree that grew too large; returns wait status and reason."""
        deadline = time.monotonic() + self.limits.timeout_s
        poller = select.poll()
        poller.register(0, select.POLLIN | select.POLLHUP)
        pidfd = _pidfd(child)
        if pidfd is not None:
            poller.register(pidfd, select.POLLIN)
        while True:
            left = deadline - time.monotonic()
            ready = [fd for fd, _ in poller.poll(max(0.0, min(TICK_S, left)) * 1000)]
            ended = reap_all()
            if child in ended:
                return ended[child], ""
            if 0 in ready:
                return 0, "leash"
            if left <= 0:
                return 0, "time"
            if cut := self._too_large():
                return 0, cut

    def _too_large(self) -> str:
        tree = descendants(os.getpid())
        if len(tree) > self.limits.processes:
            return "processes"
        return "memory" if sum(entry.resident_bytes for entry in tree) > self.limits.memory_bytes else ""

    def _become(self, tell: int, leash: int) -> None:
        """In the child: become the marshal, which starts the command. Never returns."""
        try:
            marshal(lambda: self._start(tell), tell, leash, scoped=self.level == "landlock" and self.abi >= SCOPE_ABI)
        except OSError as exc:
            tell_line(tell, {"problem": exc.strerror or str(exc)})
        finally:
            os._exit(1)

    def _start(self, tell: int) -> None:
        """Take on the limits and the level, then become the command."""
        libc().prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        os.setsid()
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and exec would keep that
            signal.signal(number, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(1, 2)
        argv, kept = self._arguments(tell)
        _close_all_but(kept)
        for kind, bound in self.rlimits:
            resource.setrlimit(kind, bound)
        if self.level != "bwrap":
            os.chdir(self.folder)
        if self.level == "landlock":
            confine(self.enclosure, self.temporary, self.abi)
        os.execvpe(argv[0], argv, self.environ)  # noqa: S606 - no shell: the command is what was asked for

    def _arguments(self, tell: int) -> tuple[list[str], tuple[int, ...]]:
        """What to execute, and the descriptors that it needs beside the first three."""
        if self.level != "bwrap":
            os.set_inheritable(tell, False)
            return self.argv, (tell,)
        filter_fd = os.memfd_create("filter", 0)
        os.write(filter_fd, filter_program(ALWAYS, machine() or ""))
        os.lseek(filter_fd, 0, os.SEEK_SET)
        os.set_inheritable(tell, True)
        before = bwrap_arguments(
            self.bwrap,
            self.enclosure,
            self.limits,
            folder=self.folder,
            seccomp_fd=filter_fd,
            status_fd=tell,
        )
        return [*before, *self.argv], (tell, filter_fd)


class _Placeholders:
    """The empty folders that bubblewrap makes in the project to mount over; removed by the last command that leaves.

    Two commands share them: each holds a shared lock on the project's folder, and who can make his exclusive is last.
    """

    def __init__(self, enclosure: Enclosure | None) -> None:
        self._missing = missing_places(enclosure) if enclosure else ()
        self._lock = -1
        if self._missing and enclosure:
            self._lock = os.open(enclosure.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._lock, fcntl.LOCK_SH)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        if self._lock < 0:
            return
        with suppress(OSError):
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in self._missing:
                with suppress(OSError):
                    os.rmdir(path)
        os.close(self._lock)


def _told(said: bytes, status: int, cut: str, level: str) -> dict[str, Any]:
    """The report.

    said: records of ours (`problem`, `status`) and of bubblewrap. Its exit status may be the command's or its own;
    only a record with `exit-code` tells of a command that was started.
    """
    told: dict[str, Any] = {}
    for line in said.splitlines():
        with suppress(ValueError):
            told |= json.loads(line)
    if "problem" in told:
        return {"problem": told["problem"]}
    if cut:
        return {"status": status, "cut": cut}
    if level == "bwrap":
        ran = "exit-code" in told
        return {"status": told["exit-code"] << 8, "cut": ""} if ran else {"problem": "bubblewrap could not build it"}
    return {"status": told.get("status", status), "cut": ""}


def _rlimits(limits: Limits) -> list[tuple[int, tuple[int, int]]]:
    """The limits of each process, none above what we have ourselves."""
    cpu_s = int(limits.timeout_s * (os.cpu_count() or 1)) + 1
    asked = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: cpu_s,
        # Not RLIMIT_AS: engines that reserve address space by the terabyte and never touch it would not start.
        resource.RLIMIT_DATA: limits.memory_bytes,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NOFILE: limits.open_files,
        # The kernel counts all tasks of the user, not only those of this tree.
        resource.RLIMIT_NPROC: threads_of_user(os.getuid()) + limits.processes,
    }
    chosen = []
    for kind, value in asked.items():
        hard = resource.getrlimit(kind)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        chosen.append((kind, (bound, bound)))
    return chosen


def _first_line() -> bytes:
    line = b""
    while not line.endswith(b"\n") and len(line) < MAX_ORDER_BYTES:
        piece = os.read(0, 1 << 16)
        if not piece:
            raise SystemExit(1)
        line += piece
    return line


def _close_all_but(kept: tuple[int, ...]) -> None:
    low = 3
    for fd in sorted(kept):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, max(low, resource.getrlimit(resource.RLIMIT_NOFILE)[0]))


def _read_all(fd: int) -> bytes:
    """What was told; every writer has ended by now."""
    with os.fdopen(fd, "rb") as file:
        return file.read(MAX_REPORT_BYTES)


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _remove(folder: str) -> None:
    """Remove what the command left, also folders that it closed or nested deeper than an interpreter can follow.

    That may take seconds, for which nobody should wait: two programs of the system do it, and end by themselves.
    """
    with suppress(OSError):
        os.rmdir(folder)
        return
    import subprocess  # seldom needed, and every command waits for our imports

    with suppress(OSError):
        subprocess.Popen(  # noqa: S603 - no word of it comes from the command
            ["/bin/sh", "-c", 'chmod -R u+rwx -- "$1"; rm -rf -- "$1"', "sh", folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )


def _tuples(value: Any) -> Any:  # JSON knows no tuples
    return tuple(value) if isinstance(value, list) else value


if __name__ == "__main__":
    sys.exit(main())
