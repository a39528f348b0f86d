"""Trying an MCP server as a client would: start it, list its tools, call one.

Counterpart: `cli.doctor_mcp`. The protocol's few lines are written here and not by the SDK's client, which takes longer
to import than the whole trial. Nothing is waited for without a bound, and the process ends with the trial.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from codex_oss.errors import BridgeError

TIMEOUT_S: Final = 30.0
END_TIMEOUT_S: Final = 5.0
TRIED_TOOL: Final = "list_profiles"
"""Opens everything that a mission needs, and begins none."""
_MESSAGES: Final[tuple[dict[str, Any], ...]] = (
    {
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "codex-oss doctor", "version": "1"},
        },
    },
    {"method": "notifications/initialized"},
    {"id": 2, "method": "tools/list"},
    {"id": 3, "method": "tools/call", "params": {"name": TRIED_TOOL, "arguments": {}}},
)


class ProbeFailed(BridgeError):
    """The server did not do what a client needs; the message says what it did instead."""

    code = "mcp_server_failed"


def probe_server(command: Sequence[str], environ: Mapping[str, str], folder: Path) -> list[str]:
    """Names of the tools of a server that starts, lists them and answers a call. Raises ProbeFailed."""
    with tempfile.TemporaryFile() as last_words:
        try:
            child = subprocess.Popen(  # noqa: S603 - the caller has made sure that it is our own program
                list(command),
                cwd=folder,
                env=dict(environ),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=last_words,
                bufsize=0,
            )
        except OSError as exc:
            raise ProbeFailed(f"{command[0]} cannot be started: {exc.strerror}.") from exc
        with child:
            try:
                answers = _conversation(child, time.monotonic() + TIMEOUT_S)
            finally:
                _end(child)
        last_words.seek(0)
        said = last_words.read().decode("utf-8", "replace").strip().splitlines()[-1:]
    return _tools(answers, said[0] if said else "it said nothing")


def _conversation(child: subprocess.Popen[bytes], deadline: float) -> dict[Any, dict[str, Any]]:
    """Say everything, and collect answers by id until the last one or the deadline."""
    assert child.stdin is not None
    said = "".join(json.dumps({"jsonrpc": "2.0", **message}) + "\n" for message in _MESSAGES)
    answers: dict[Any, dict[str, Any]] = {}
    try:
        child.stdin.write(said.encode())
        for line in _lines(child, deadline):
            answer = json.loads(line)
            answers[answer.get("id")] = answer
            if 3 in answers:
                break
    except (OSError, ValueError, AttributeError):
        pass  # what is missing says enough
    return answers


def _lines(child: subprocess.Popen[bytes], deadline: float) -> Iterator[bytes]:
    assert child.stdout is not None
    pending = b""
    while select.select([child.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
        chunk = os.read(child.stdout.fileno(), 65536)
        if not chunk:
            return
        *whole, pending = (pending + chunk).split(b"\n")
        yield from whole


def _tools(answers: Mapping[Any, Mapping[str, Any]], said: str) -> list[str]:
    if "result" not in answers.get(2, {}):
        raise ProbeFailed(f"The server does not list its tools: {said}.")
    called = answers.get(3, {}).get("result")
    if called is None:
        raise ProbeFailed(f"The server does not answer a call: {said}.")
    if called.get("isError"):
        raise ProbeFailed(f"A call fails: {called['content'][0]['text']}")
    return [tool["name"] for tool in answers[2]["result"]["tools"]]


def _end(child: subprocess.Popen[bytes]) -> None:
    assert child.stdin is not None
    child.stdin.close()
    try:
        child.wait(END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
