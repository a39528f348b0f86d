"""The filter of system calls that both levels load: what an enclosed command cannot ask, as bytes for the kernel.

Counterparts: `services.sandbox_child` hands it to bubblewrap or loads it itself.

    each call ─► architecture as expected? ─► number in a row? ─► argument as the row says? ─► refused with its errno
                       no: killed                 no: allowed            no: allowed

Rules that hold here:

1. The filter adds to what namespaces and Landlock forbid; it names calls that would go round them: io_uring opens
   sockets without `socket`, `prlimit64` and `setpriority` reach processes that signals do not.
2. A table gives each call once, with its number on each architecture. No other architecture is supported.
3. The numbers of another calling convention (32 bits, x32) are refused whole: they would all be other numbers.

Source: seccomp(2), linux/filter.h, linux/seccomp.h, and the kernel's syscall tables of x86_64 and arm64.
"""

from __future__ import annotations

import errno
import platform
import struct
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

ARCHITECTURES: Final[dict[str, int]] = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""AUDIT_ARCH_* of the machines whose numbers the table has."""
X32_BIT: Final = 0x40000000

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_AT_LEAST: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_ANY_BIT: Final = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_NUMBER_AT: Final = 0
_ARCHITECTURE_AT: Final = 4
_ARGUMENTS_AT: Final = 16
_ALLOW: Final = 0x7FFF0000
_KILL: Final = 0x80000000
_ERRNO: Final = 0x00050000

NEW_NAMESPACES: Final = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""
NEW_TIME: Final = 0x80
TIOCSTI: Final = 0x5412
TIOCLINUX: Final = 0x541C

Test = Literal["always", "equal", "not_equal", "any_bit"]


@dataclass(frozen=True, slots=True)
class Row:
    """A call that is refused. value is compared with the lower half of argument number *argument*."""

    name: str
    numbers: tuple[int, int]
    """On x86_64 and on aarch64; -1 where the call does not exist."""
    test: Test = "always"
    argument: int = 0
    value: int = 0
    code: int = errno.EPERM


ALWAYS: Final = (
    Row("io_uring_setup", (425, 425)),
    Row("io_uring_enter", (426, 426)),
    Row("io_uring_register", (427, 427)),
    Row("unshare", (272, 97), "any_bit", 0, NEW_NAMESPACES | NEW_TIME),
    Row("clone", (56, 220), "any_bit", 0, NEW_NAMESPACES),
    # Its flags lie in memory, where a filter cannot look. Callers fall back to clone at this errno.
    Row("clone3", (435, 435), code=errno.ENOSYS),
    Row("setns", (308, 268)),
    Row("mount", (165, 40)),
    Row("umount2", (166, 39)),
    Row("pivot_root", (155, 41)),
    Row("open_tree", (428, 428)),
    Row("move_mount", (429, 429)),
    Row("fsopen", (430, 430)),
    Row("fsmount", (432, 432)),
    Row("mount_setattr", (442, 442)),
    # Types what the user would type, into a terminal that is shared with him.
    Row("ioctl", (16, 29), "equal", 1, TIOCSTI),
    Row("ioctl", (16, 29), "equal", 1, TIOCLINUX),
    Row("add_key", (248, 217)),
    Row("request_key", (249, 218)),
    Row("keyctl", (250, 219)),
    Row("bpf", (321, 280)),
    Row("perf_event_open", (298, 241)),
    Row("userfaultfd", (323, 282)),
    Row("open_by_handle_at", (304, 265)),
)
"""For both levels."""

SHARED_WITH_HOST: Final = (
    # Every family, also AF_UNIX: behind a socket's path sit docker, an ssh agent, the session bus. Pairs stay allowed.
    Row("socket", (41, 198)),
    Row("prlimit64", (302, 261), "not_equal", 0, 0),
    Row("setpriority", (141, 140), "not_equal", 1, 0),
    Row("setpriority", (141, 140), "equal", 0, 2),
    Row("ioprio_set", (251, 30), "not_equal", 1, 0),
    Row("sched_setparam", (142, 118), "not_equal", 0, 0),
    Row("sched_setscheduler", (144, 119), "not_equal", 0, 0),
    Row("sched_setaffinity", (203, 122), "not_equal", 0, 0),
    Row("sched_setattr", (314, 274), "not_equal", 0, 0),
    Row("shmget", (29, 194)),
    Row("shmat", (30, 196)),
    Row("shmctl", (31, 195)),
    Row("semget", (64, 190)),
    Row("semctl", (66, 191)),
    Row("semop", (65, 193)),
    Row("semtimedop", (220, 192)),
    Row("msgget", (68, 186)),
    Row("msgctl", (71, 187)),
    Row("msgsnd", (69, 189)),
    Row("msgrcv", (70, 188)),
    Row("mq_open", (240, 180)),
    Row("mq_unlink", (241, 181)),
)
"""What namespaces keep apart and Landlock does not; for the second level."""

SIGNALS: Final = (
    # To itself a process may raise what it likes (kill with 0: its own group); others cannot be told apart here.
    Row("kill", (62, 129), "not_equal", 0, 0),
    Row("tkill", (200, 130)),
    Row("tgkill", (234, 131)),
    Row("rt_sigqueueinfo", (129, 138)),
    Row("rt_tgsigqueueinfo", (297, 240)),
    Row("pidfd_send_signal", (424, 424)),
)
"""Where Landlock is too old (below ABI 6) to keep signals inside."""

TRUNCATION: Final = (Row("truncate", (76, 45)),)
"""Where Landlock is too old (below ABI 3) to forbid it; by descriptor it needs a file opened for writing."""


def machine() -> str | None:
    """This machine's name in the table; None where the filter cannot be made."""
    name = platform.machine()
    return name if name in ARCHITECTURES and sys.maxsize > 2**32 and sys.platform == "linux" else None


def filter_program(rows: Sequence[Row], architecture: str) -> bytes:
    """The filter as an array of `struct sock_filter`. Raises KeyError for an architecture that has no numbers."""
    column = list(ARCHITECTURES).index(architecture)
    code = [
        *(_step(_LOAD, _ARCHITECTURE_AT), _step(_EQUAL, ARCHITECTURES[architecture], 1, 0), _step(_RETURN, _KILL)),
        _step(_LOAD, _NUMBER_AT),
    ]
    if architecture == "x86_64":
        code += [_step(_AT_LEAST, X32_BIT, 0, 1), _step(_RETURN, _KILL)]
    for row in rows:
        if row.numbers[column] >= 0:
            code += _refusal(row, row.numbers[column])
    return b"".join([*code, _step(_RETURN, _ALLOW)])


def _refusal(row: Row, number: int) -> Iterator[bytes]:
    """The steps of one row; the call's number is loaded before and after them."""
    refuse = _step(_RETURN, _ERRNO | row.code)
    if row.test == "always":
        yield from (_step(_EQUAL, number, 0, 1), refuse)
        return
    kind = _ANY_BIT if row.test == "any_bit" else _EQUAL
    when = (1, 0) if row.test == "not_equal" else (0, 1)
    yield _step(_EQUAL, number, 0, 4)
    yield _step(_LOAD, _ARGUMENTS_AT + 8 * row.argument)  # both machines are little endian: the lower half comes first
    yield _step(kind, row.value, *when)
    yield refuse
    yield _step(_LOAD, _NUMBER_AT)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
