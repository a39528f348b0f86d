"""One turn of the real Codex app-server, isolated from the user's own Codex.

Counterparts: `services.codex_exec` prepares the same folders and drives `codex exec`; `missions.transcript` reads what
is collected here. Used by the app-server probes and by the client tests.

    initialize ─► initialized ─► thread/start ─► turn/start ─► notifications … ─► turn/completed ─► end of file on stdin

Rules that hold here:

1. stdio, one JSON object a line, no `jsonrpc` key. Observed: Codex 0.169.
2. A request of the server is answered with an error: unanswered it would park the turn for ever. Its id may be 0.
3. The run is bounded in time, and the whole process group ends with it.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any, Final

from codex_oss.services.codex_exec import CodexTurn, end_group, json_lines, prepare_scratch

METHOD_NOT_FOUND: Final = -32601
END_WAIT_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Notice:
    """One notification. at_s: seconds since the start of the run when it arrived."""

    at_s: float
    value: dict[str, Any]

    @property
    def method(self) -> str:
        """E.g. `item/completed`."""
        return str(self.value.get("method"))

    @property
    def params(self) -> dict[str, Any]:
        """Its parameters; empty when they are no object."""
        params = self.value.get("params")
        return params if isinstance(params, dict) else {}


@dataclass(slots=True)
class AppServerRun:
    """What came out. failure: empty when the turn was carried through, whatever its status."""

    notices: list[Notice] = field(default_factory=list)
    thread_id: str = ""
    user_agent: str = ""
    turn_status: str = ""
    failure: str = ""

    def transcript(self) -> bytes:
        """The notifications as they came, one a line."""
        return b"".join(json.dumps(notice.value).encode() + b"\n" for notice in self.notices)


class _Refused(Exception):
    """The server answered a request with an error, or ended."""


def run_app_server(codex: str, turn: CodexTurn, on_notice: Callable[[Notice], None] | None = None) -> AppServerRun:
    """Start an app-server, run one turn on a thread of its own, and end it. on_notice sees each one as it arrives.

    codex: path of the program. Raises OSError when it cannot be started.
    """
    environ = prepare_scratch(turn)
    run = AppServerRun()
    started = time.monotonic()
    with subprocess.Popen(  # noqa: S603
        [codex, "app-server", *turn.extra_arguments],
        cwd=turn.folder,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        process_group=0,
    ) as child:
        assert child.stdin is not None
        lines = json_lines(child, started + turn.timeout_s)
        talk = _Talk(child.stdin, lines, run, started, on_notice)
        try:
            talk.turn(turn)
            child.stdin.close()
            child.wait(END_WAIT_S)
        except TimeoutError:
            run.failure = f"it did not end within {turn.timeout_s:g} s"
        except subprocess.TimeoutExpired:
            pass  # it is ended below; the turn is over
        except (_Refused, OSError) as exc:
            run.failure = str(exc)
        finally:
            end_group(child)
    return run


class _Talk:
    """The conversation with one server."""

    def __init__(
        self,
        stdin: IO[bytes],
        lines: Iterator[dict[str, Any]],
        run: AppServerRun,
        started: float,
        on_notice: Callable[[Notice], None] | None,
    ) -> None:
        self._stdin = stdin
        self._lines = lines
        self._run = run
        self._started = started
        self._on_notice = on_notice
        self._asked = 0

    def turn(self, turn: CodexTurn) -> None:
        """Everything from the handshake to the end of one turn."""
        hello = {"clientInfo": {"name": "codex-oss", "title": "codex-oss", "version": "1"}, "capabilities": {}}
        self._run.user_agent = str(self._ask("initialize", hello).get("userAgent", ""))
        self._write({"method": "initialized"})
        asked = {"cwd": str(turn.folder), "approvalPolicy": "never", "sandbox": turn.sandbox, "model": turn.model}
        thread = self._ask("thread/start", asked).get("thread")
        self._run.thread_id = str(thread.get("id", "")) if isinstance(thread, dict) else ""
        said = [{"type": "text", "text": turn.prompt}]
        self._ask("turn/start", {"threadId": self._run.thread_id, "input": said})
        while not self._run.turn_status:
            self._take(self._next())

    def _ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._asked += 1
        self._write({"id": self._asked, "method": method, "params": params})
        while True:
            value = self._next()
            if value.get("id") == self._asked and "method" not in value:
                if "error" in value:
                    raise _Refused(f"{method} was refused: {json.dumps(value['error'])[:300]}")
                result = value.get("result")
                return result if isinstance(result, dict) else {}
            self._take(value)

    def _next(self) -> dict[str, Any]:
        value = next(self._lines, None)
        if value is None:
            raise _Refused("the app-server ended before the turn did")
        return value

    def _take(self, value: dict[str, Any]) -> None:
        if "method" not in value:
            return
        if "id" in value:
            told = {"code": METHOD_NOT_FOUND, "message": "This client answers no requests."}
            self._write({"id": value["id"], "error": told})
            return
        notice = Notice(time.monotonic() - self._started, value)
        self._run.notices.append(notice)
        if notice.method == "turn/completed" and notice.params.get("threadId") == self._run.thread_id:
            ended = notice.params.get("turn")
            self._run.turn_status = str(ended.get("status")) if isinstance(ended, dict) else "unknown"
        if self._on_notice is not None:
            self._on_notice(notice)

    def _write(self, value: dict[str, Any]) -> None:
        self._stdin.write(json.dumps(value).encode() + b"\n")
