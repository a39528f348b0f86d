"""The real bridge as a process of its own, for tests of what only a process shows: start, signals, files, sockets.

    with running_bridge(tmp_path, upstream=fake.base_url) as bridge:
        answer = bridge.post({"model": "ocg-kimi-k2.6", "input": "hi"})

Nothing of the tester's environment reaches it but PATH; its HOME is a folder beside the project.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.official.tap import tap_environment

LOCAL_KEY = "sk-local-test"
UPSTREAM_KEY = "synthetic-upstream-key"


@dataclass(slots=True)
class Answer:
    """One HTTP answer. headers: names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error object of the body."""
        value: dict[str, Any] = self.json["error"]
        return value

    @property
    def events(self) -> list[dict[str, Any]]:
        """The data of every SSE frame but `[DONE]`."""
        return sse_events(self.body)


@dataclass(slots=True)
class BridgeProcess:
    """A running bridge."""

    process: subprocess.Popen[str]
    base_url: str
    project: Path
    log: Path

    @property
    def port(self) -> int:
        """The port it listens on."""
        return urlsplit(self.base_url).port or 0

    def connect(self) -> http.client.HTTPConnection:
        """A fresh connection."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request; the local key goes along unless *headers* are given."""
        connection = self.connect()
        try:
            connection.request(method, path, body, dict(headers) if headers is not None else self.auth)
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        finally:
            connection.close()

    def post(self, body: Mapping[str, Any]) -> Answer:
        """One turn."""
        return self.request("POST", "/v1/responses", json.dumps(body).encode())

    def open_stream(self, body: Mapping[str, Any]) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Begin a streamed turn and return once its head arrived; close the connection yourself."""
        connection = self.connect()
        connection.request("POST", "/v1/responses", json.dumps({**body, "stream": True}).encode(), self.auth)
        return connection, connection.getresponse()

    @property
    def auth(self) -> dict[str, str]:
        """Headers with the local key."""
        return {"Authorization": f"Bearer {LOCAL_KEY}", "Content-Type": "application/json"}

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.terminate()
        return self.process.wait(10)


def sse_events(body: bytes) -> list[dict[str, Any]]:
    """The data of every SSE frame but `[DONE]`."""
    lines = (line.removeprefix("data: ") for line in body.decode().splitlines() if line.startswith("data: "))
    return [json.loads(line) for line in lines if line != "[DONE]"]


def bridge_environment(project: Path, upstream: str | None, extra: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a bridge under test."""
    home = project.parent / f"{project.name}-home"
    home.mkdir(exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PROXY_API_KEY": LOCAL_KEY,
        "OPENCODE_GO_API_KEY": UPSTREAM_KEY,
        "PYTHONWARNINGS": "error",
        "CIRCUIT_BREAKER_ERRORS": "0",  # one failing case must not refuse the next; "" brings the default back
        "COVERAGE_PROCESS_START": os.environ.get("COVERAGE_PROCESS_START", ""),
        **tap_environment(),
        **extra,
    }
    if upstream is not None:
        environment["UPSTREAM_BASE"] = upstream
    return {name: value for name, value in environment.items() if value}


@contextmanager
def running_bridge(project: Path, *, upstream: str | None = None, **extra: str) -> Iterator[BridgeProcess]:
    """Start a bridge on a free port and wait for its ready line; it is ended at the end. extra: environment."""
    project.mkdir(exist_ok=True)
    log = project.parent / f"{project.name}-bridge.log"
    command = [sys.executable, "-m", "codex_oss.server", "--project", str(project), "--port", "0"]
    with log.open("w") as errors:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=bridge_environment(project, upstream, extra),
        )
        assert process.stdout is not None
        try:
            ready = process.stdout.readline()
            if not ready.startswith("listening on "):
                raise AssertionError(f"the bridge did not start: {ready!r} {log.read_text()}")
            yield BridgeProcess(process, ready.removeprefix("listening on ").strip(), project, log)
        finally:
            _end(process)
            process.stdout.close()


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(8)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
