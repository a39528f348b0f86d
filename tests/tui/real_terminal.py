"""A program on a terminal of its own: its keys, what it drew, and the terminal's settings before and after."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

LEFT_SCREEN = b"\x1b[?1049l"
SHOWN_CURSOR = b"\x1b[?25h"
_ESCAPE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][A-Z0-9]|[=>78M])")
WAIT_S = 20.0


class Terminal:
    """A program under way. stdout_to: a file that its stdout leads to, instead of the terminal."""

    def __init__(
        self,
        argv: Sequence[str],
        environ: Mapping[str, str],
        *,
        cwd: Path | None = None,
        size: tuple[int, int] = (100, 30),
        stdout_to: Path | None = None,
    ) -> None:
        self.output = bytearray()
        self._master, self._slave = pty.openpty()
        self._open: tuple[int, ...] = (self._master, self._slave)
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.before = termios.tcgetattr(self._slave)
        stdout: Any = stdout_to.open("wb") if stdout_to else self._slave
        self.process = subprocess.Popen(
            list(argv),
            stdin=self._slave,
            stdout=stdout,
            stderr=self._slave,
            env={"TERM": "xterm-256color", **environ},
            cwd=cwd,
            start_new_session=True,
        )
        if stdout_to:
            stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for descriptor in self._open:
            os.close(descriptor)

    def after(self) -> list[Any]:
        """The settings of the terminal now."""
        return termios.tcgetattr(self._slave)

    def hang_up(self) -> int:
        """Close the terminal, as a window is closed, without a signal; the program's exit status."""
        for descriptor in self._open:
            os.close(descriptor)
        self._open = ()
        return self.process.wait(WAIT_S)

    def send(self, keys: str) -> None:
        """Type."""
        os.write(self._master, keys.encode())

    def words(self) -> str:
        """All that was written, without escape sequences."""
        return _ESCAPE.sub(b"", bytes(self.output)).decode(errors="replace")

    def after_screen(self) -> bytes:
        """What was written after the screen was left, without the sequences that put the terminal back."""
        return _ESCAPE.sub(b"", bytes(self.output).rpartition(LEFT_SCREEN)[2])

    def until(self, words: str) -> None:
        """Read until these words were written; AssertionError when they never are."""
        self._read(lambda: words in self.words())
        assert words in self.words(), f"{words!r} was never written:\n{self.words()[-3000:]}"

    def read_for(self, wait_s: float) -> None:
        """Read for so long."""
        ends_at = time.monotonic() + wait_s
        while (left_s := ends_at - time.monotonic()) > 0:
            self._drain(left_s)

    def end(self) -> int:
        """Read until the program has ended; its exit status."""
        self._read(lambda: self.process.poll() is not None)
        code = self.process.wait(WAIT_S)
        self._drain()
        return code

    def _read(self, holds: Any) -> None:
        ends_at = time.monotonic() + WAIT_S
        while not holds() and time.monotonic() < ends_at:
            self._drain(0.05)

    def _drain(self, wait_s: float = 0.0) -> None:
        while select.select([self._master], [], [], wait_s)[0]:
            self.output += os.read(self._master, 65536)
            wait_s = 0.0
