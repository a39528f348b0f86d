"""A command that runs inside a bridge of its own: `codex-oss up -- CMD`.

    server ──ready line──► CMD with the address in its environment ──ends──► SIGTERM to the server ──► CMD's status

Rules that hold here:

1. CMD gets the terminal; the server sits in a session of its own, so that Ctrl-C reaches CMD and not the bridge
   that CMD still needs.
2. SIGTERM and SIGHUP are passed to CMD. SIGINT is passed only when no terminal has delivered it already.
3. A signal before CMD runs ends us and the bridge; no signal is lost or met between two processes (`_Signals`).
4. The bridge ends with CMD, whatever ended CMD. If *we* are killed with SIGKILL, `codex-oss stop` ends it.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import IO, Any, Final

from codex_oss.errors import Unavailable
from codex_oss.services.bridge_process import READY_TIMEOUT_S, STOP_GRACE_S

READY_PREFIX: Final = b"listening on "
MAX_READY_LINE_BYTES: Final = 4096
NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126
"""Exit statuses of a shell for a command that cannot be run."""


def run_enclosed(
    server: Sequence[str],
    command: Sequence[str],
    *,
    local_key: str,
    environ: Mapping[str, str],
    ready_timeout_s: float = READY_TIMEOUT_S,
) -> int:
    """Run *command* while *server* runs; returns the command's exit status (128 + number when a signal ended it).

    Raises Unavailable when the server ends or says nothing before its ready line.
    """
    with (
        _Signals() as signals,
        subprocess.Popen(  # noqa: S603 - our own interpreter and module, no shell
            server, env=dict(environ), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
        ) as bridge,
    ):
        try:
            assert bridge.stdout is not None
            with signals.raised():
                base_url = _read_ready_line(bridge, bridge.stdout, ready_timeout_s)
            drain = threading.Thread(target=_drain, args=(bridge.stdout,), daemon=True)
            drain.start()
            return _run(command, {**environ, **bridge_environment(base_url, local_key)}, signals)
        finally:
            _end(bridge)


class _Signals:
    """What becomes of SIGTERM, SIGHUP and SIGINT while there are processes to care for.

        kept ──raised()──► SystemExit(128 + number) ──► kept ──pass_to(child)──► sent to the child

    Kept ones are dealt with at the next step, so that none interrupts the start of a process.
    """

    NUMBERS: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._raising = False
        self._kept: int | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> _Signals:
        self._previous = {number: signal.signal(number, self._handle) for number in self.NUMBERS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @contextmanager
    def raised(self) -> Iterator[None]:
        """A block that a signal ends with SystemExit, one that came before it too."""
        self._raising = True
        try:
            self._raise_kept()
            yield
        finally:
            self._raising = False

    def pass_to(self, child: subprocess.Popen[bytes]) -> None:
        """From now on *child* gets the signals, the kept one first."""
        self._child = child
        if self._kept is not None:
            child.send_signal(self._kept)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._child is not None:
            if number != signal.SIGINT or not sys.stdin.isatty():
                self._child.send_signal(number)
            return
        self._kept = number
        if self._raising:
            self._raise_kept()

    def _raise_kept(self) -> None:
        if self._kept is not None:
            raise SystemExit(128 + self._kept)


def bridge_environment(base_url: str, local_key: str) -> dict[str, str]:
    """What a command needs to find the bridge.

    OPENAI_API_KEY is replaced too: next to a replaced OPENAI_BASE_URL a real key would travel to the bridge.
    """
    return {
        "CODEX_OSS_BASE_URL": base_url,
        "OPENAI_BASE_URL": base_url,
        "CODEX_OSS_API_KEY": local_key,
        "PROXY_API_KEY": local_key,
        "OPENAI_API_KEY": local_key,
    }


def _read_ready_line(bridge: subprocess.Popen[bytes], stdout: IO[bytes], timeout_s: float) -> str:
    deadline = time.monotonic() + timeout_s
    line = b""
    while not line.endswith(b"\n") and len(line) < MAX_READY_LINE_BYTES:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([stdout], [], [], left)[0]:
            raise Unavailable(f"The bridge did not get ready within {timeout_s:g} s.")
        byte = os.read(stdout.fileno(), 1)
        if not byte:
            raise Unavailable(f"The bridge ended with status {bridge.wait()} before it was ready.")
        line += byte
    if not line.startswith(READY_PREFIX):
        raise Unavailable("The bridge's first line was not its ready line.")
    return line[len(READY_PREFIX) :].decode("utf-8", "replace").strip()


def _run(command: Sequence[str], environ: Mapping[str, str], signals: _Signals) -> int:
    try:
        child = subprocess.Popen(command, env=dict(environ))  # noqa: S603 - the user's own command, no shell
    except FileNotFoundError:
        sys.stderr.write(f"error: {command[0]}: command not found\n")
        return NOT_FOUND
    except OSError as exc:
        sys.stderr.write(f"error: {command[0]}: {exc.strerror}\n")
        return NOT_EXECUTABLE
    signals.pass_to(child)
    status = child.wait()
    return status if status >= 0 else 128 - status


def _drain(stdout: IO[bytes]) -> None:
    """Keep the pipe empty, so that the server never blocks on a line nobody reads."""
    while os.read(stdout.fileno(), 65536):
        pass


def _end(bridge: subprocess.Popen[bytes]) -> None:
    bridge.terminate()
    try:
        bridge.wait(STOP_GRACE_S)
    except subprocess.TimeoutExpired:
        bridge.kill()
        bridge.wait()
