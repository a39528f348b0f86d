"""`mission run` against something on the bridge's port that is no bridge: one sentence, exit 1, never a wait."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_missions import HANDOFF, READ, REPORT, run_cli
from tests.fakes.chat_upstream import ChatUpstream, action

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
ITEM = b'data: {"type":"response.output_item.done","item":'
MAX_SENT_BYTES = 256 * 1024 * 1024


def once(data: bytes) -> Iterator[bytes]:
    """An answer of these bytes."""
    yield data


def endless(head: bytes, data: bytes) -> Iterator[bytes]:
    """An answer that does not end by itself (a bound keeps a broken client from filling the memory)."""
    yield head
    for _ in range(MAX_SENT_BYTES // len(data)):
        yield data


@contextmanager
def foreign_server(project: Path, host: str, answer: Callable[[], Iterator[bytes]]) -> Iterator[list[bytes]]:
    """A server that passes for the bridge of *project* by its /health; yields the turns that reached it."""
    health = json.dumps({"pid": os.getpid(), "project_root": str(project), "started_at": 1.0}).encode()
    turns: list[bytes] = []
    with closing(socket.create_server((host, 0))) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        head = connection.recv(65536)
                        if head.startswith(b"GET /health"):
                            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + health)
                            continue
                        turns.append(head)
                        for data in answer():
                            connection.sendall(data)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        port = server.getsockname()[1]
        record = {"pid": os.getpid(), "host": host, "port": port, "started_at": 1.0, "project_root": str(project)}
        (project / ".codex-oss/run").mkdir(parents=True)
        (project / ".codex-oss/run/bridge.json").write_text(json.dumps(record))
        yield turns
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project."""
    folder = tmp_path / "project"
    (folder / "app").mkdir(parents=True)
    (folder / "app/retry.py").write_text("import time\n\nMAX_RETRIES = 5\n")
    return folder


ANSWERS: dict[str, tuple[Callable[[], Iterator[bytes]], str]] = {
    "broken JSON": (lambda: once(HEAD + b"data: {oops\n\n"), "upstream_protocol_error"),
    "a list": (lambda: once(HEAD + b"data: [1]\n\n"), "upstream_protocol_error"),
    "deep": (lambda: once(HEAD + b"data: " + b"[" * 100_000 + b"\n\n"), "upstream_protocol_error"),
    "item of another kind": (lambda: once(HEAD + ITEM + b"7}\n\n"), "upstream_protocol_error"),
    "part of another kind": (
        lambda: once(HEAD + ITEM + b'{"type":"message","content":[5]}}\n\n'),
        "upstream_protocol_error",
    ),
    "failure of another kind": (
        lambda: once(HEAD + b'data: {"type":"response.failed","response":null}\n\n'),
        "upstream_protocol_error",
    ),
    "problems of another kind": (
        lambda: once(
            HEAD + ITEM + b'{"type":"message","content":[{"text":"x\\n```json\\n{\\"problems\\":[5]}\\n```\\n"}]}}\n\n'
        ),
        "no_report",
    ),
    "a page": (lambda: once(HEAD + b"<html>"), "no_report"),
    "no HTTP": (lambda: once(b"220 mail\r\n\r\n"), "upstream_unavailable"),
    "endless line": (lambda: endless(HEAD, b"x" * 65_536), "upstream_protocol_error"),
    "endless events": (lambda: endless(HEAD, b'data: {"type":"x"}\n\n' * 3_000), "upstream_protocol_error"),
    "endless refusal": (lambda: endless(b"HTTP/1.1 500 x\r\n\r\n", b"x" * 65_536), "upstream_error"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_nonsense_on_the_port_is_one_sentence(project: Path, name: str) -> None:
    """Whatever answers there: exit 1, one object, no traceback."""
    answer, code = ANSWERS[name]
    with foreign_server(project, "127.0.0.1", answer) as turns:
        done = run_cli(project, "mission", "run", "-", "--json", stdin=json.dumps(HANDOFF))
    assert (done.returncode, len(turns)) == (1, 1), done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert (told["ok"], told["error"]) == (False, code)
    assert "Traceback" not in done.stderr


def test_a_planted_record_does_not_lead_elsewhere(project: Path) -> None:
    """A clone whose bridge.json names another address gets neither the key nor the mission; it runs in process."""
    with (
        foreign_server(project, "127.0.0.2", lambda: once(HEAD)) as turns,
        ChatUpstream([action(READ), action(REPORT)]) as upstream,
    ):
        done = run_cli(project, "mission", "run", "-", "--json", upstream=upstream.base_url, stdin=json.dumps(HANDOFF))
    assert (done.returncode, turns) == (0, [])
