"""One headless run of the real Codex CLI against the bridge, isolated from the user's own Codex.

Counterpart: the bridge's `/v1/responses`. Used by `cli.demo` and by the client tests.

    scratch/home, scratch/codex (CODEX_HOME), scratch/tmp ─► codex exec --json ─► JSON lines ─► Message(at_s, text)

Rules that hold here:

1. Everything Codex writes lands below `scratch`; the user's CODEX_HOME, login and sessions are not touched.
2. TMPDIR never contains CODEX_HOME: Codex refuses to make its helper programs below the temp directory, and every
   sandboxed command then fails. Observed: Codex CLI 0.169.
3. stdin is empty, the run is bounded in time, and the whole process group ends with it.
4. `codex exec --json` knows no phases: an `agent_message` is shown when its item closes, the last one is the answer.
   Lines of type `error` are warnings; only `turn.failed` is a failure.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

MAX_LINE_BYTES: Final = 8 * 1024 * 1024
KEY_VARIABLE: Final = "CODEX_OSS_CLIENT_KEY"
KEPT_VARIABLES: Final = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TERM", "NODE_EXTRA_CA_CERTS", "LD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class CodexTurn:
    """What Codex is asked, and where."""

    base_url: str
    api_key: str
    model: str
    prompt: str
    folder: Path
    """The working folder; need not be a repository."""
    scratch: Path
    """An own folder for this run; made when absent."""
    sandbox: str = "read-only"
    timeout_s: float = 120.0
    extra_arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CodexEvent:
    """One line of `codex exec --json`. at_s: seconds since the start of the run when the line arrived."""

    at_s: float
    value: dict[str, Any]

    @property
    def message(self) -> str | None:
        """The text when this line closes an assistant message, else None."""
        item = self.value.get("item")
        if self.value.get("type") == "item.completed" and isinstance(item, dict):
            text = item.get("text")
            return text if item.get("type") == "agent_message" and isinstance(text, str) else None
        return None


@dataclass(frozen=True, slots=True)
class CodexRun:
    """What came out."""

    exit_code: int
    """Codex's own status; 124 when it ran out of time."""
    events: tuple[CodexEvent, ...]
    stderr_tail: str

    @property
    def messages(self) -> list[CodexEvent]:
        """Every closed assistant message, in the order of arrival; the last one is the answer."""
        return [event for event in self.events if event.message is not None]

    def items(self, kind: str) -> list[dict[str, Any]]:
        """The completed items of one type, e.g. `command_execution`."""
        items = [event.value["item"] for event in self.events if event.value.get("type") == "item.completed"]
        return [item for item in items if item.get("type") == kind]

    @property
    def failure(self) -> str:
        """Why the turn failed; empty when it did not."""
        for event in self.events:
            if event.value.get("type") == "turn.failed":
                return str((event.value.get("error") or {}).get("message") or "turn failed")
        if self.exit_code == 0:
            return ""
        return "it ran out of time" if self.exit_code == 124 else f"exit status {self.exit_code}: {self.stderr_tail}"


def run_codex(codex: str, turn: CodexTurn, on_event: Callable[[CodexEvent], None] | None = None) -> CodexRun:
    """Run `codex exec --json` once. on_event sees each line as it arrives.

    codex: path of the program. Raises OSError when it cannot be started.
    """
    environ = prepare_scratch(turn)
    command = [codex, "exec", "--skip-git-repo-check", "--json", "-s", turn.sandbox, "-C", str(turn.folder)]
    command += [*turn.extra_arguments, "-m", turn.model, "--", turn.prompt]
    started = time.monotonic()
    events: list[CodexEvent] = []
    with (
        tempfile.TemporaryFile() as stderr,
        subprocess.Popen(  # noqa: S603
            command,
            cwd=turn.folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            bufsize=0,
            process_group=0,
        ) as child,
    ):
        try:
            for line in json_lines(child, started + turn.timeout_s):
                event = CodexEvent(time.monotonic() - started, line)
                events.append(event)
                if on_event is not None:
                    on_event(event)
            code = child.wait(max(0.1, started + turn.timeout_s - time.monotonic()))
        except (TimeoutError, subprocess.TimeoutExpired):
            code = 124
        finally:
            end_group(child)
        stderr.seek(0)
        tail = stderr.read().decode("utf-8", "replace").strip().splitlines()[-5:]
    return CodexRun(code, tuple(events), " | ".join(tail))


def prepare_scratch(turn: CodexTurn) -> dict[str, str]:
    """Make the folders and the configuration of one run; returns its whole environment."""
    folders = {name: turn.scratch / name for name in ("home", "codex", "tmp")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    catalog = folders["codex"] / "catalog.json"
    catalog.write_text(json.dumps({"models": [catalog_entry(turn.model)]}), encoding="utf-8")
    (folders["codex"] / "config.toml").write_text(render_config(turn, catalog), encoding="utf-8")
    environ = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return environ | {
        "HOME": str(folders["home"]),
        "CODEX_HOME": str(folders["codex"]),
        "TMPDIR": str(folders["tmp"]),
        KEY_VARIABLE: turn.api_key,
    }


def render_config(turn: CodexTurn, catalog: Path) -> str:
    """`config.toml`: one custom provider, few retries, nothing that reaches another host."""
    lines: Sequence[tuple[str, Any]] = (
        ("model", turn.model),
        ("model_provider", "bridge"),
        ("model_catalog_json", str(catalog)),
        ("check_for_update_on_startup", False),
        ("analytics.enabled", False),
        ("model_providers.bridge.name", "Local bridge"),
        ("model_providers.bridge.base_url", turn.base_url),
        ("model_providers.bridge.env_key", KEY_VARIABLE),
        ("model_providers.bridge.wire_api", "responses"),
        ("model_providers.bridge.request_max_retries", 1),
        ("model_providers.bridge.stream_max_retries", 1),
        ("model_providers.bridge.stream_idle_timeout_ms", 120_000),
    )
    # A JSON string, number or boolean is also a TOML one.
    trusted = f'[projects.{json.dumps(str(turn.folder))}]\ntrust_level = "trusted"\n'
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines) + trusted


def catalog_entry(model: str) -> dict[str, Any]:
    """The smallest catalogue entry that spares the warning about unknown metadata. Observed: Codex CLI 0.169."""
    return {
        "slug": model,
        "display_name": model,
        "supported_reasoning_levels": [],
        "shell_type": "unified_exec",
        "visibility": "list",
        "supported_in_api": True,
        "priority": 1,
        "base_instructions": "You are a coding agent.",
        "supports_reasoning_summaries": False,
        "support_verbosity": False,
        "truncation_policy": {"mode": "tokens", "limit": 10_000},
        "supports_parallel_tool_calls": True,
        "experimental_supported_tools": [],
    }


def json_lines(child: subprocess.Popen[bytes], deadline: float) -> Iterator[dict[str, Any]]:
    """The JSON objects of stdout as they arrive; other lines are skipped. Raises TimeoutError.

    deadline: on the clock of `time.monotonic`.
    """
    assert child.stdout is not None
    pending = b""
    while True:
        readable, _, _ = select.select([child.stdout], [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            raise TimeoutError
        chunk = os.read(child.stdout.fileno(), 65536)
        *whole, pending = (pending + chunk).split(b"\n")
        for line in whole if chunk else [*whole, pending]:
            if (value := _object(line)) is not None:
                yield value
        if not chunk or len(pending) > MAX_LINE_BYTES:
            return


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def end_group(child: subprocess.Popen[bytes]) -> None:
    """End what is left of the process group (the launcher and the program it started)."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
