"""The links of the demo's chain, each a function that does one thing for real or says why it could not.

Counterpart: `cli.demo`, which puts them in order, numbers them and prints.

Rules that hold here:

1. A link talks to the bridge as any client would: over HTTP, with the key, or by the documented commands. Nothing of
   the runtime is called directly.
2. A link that did not happen raises `BridgeError` with the reason; nothing is shown as done that was not checked.
3. What a model or a client wrote is printed without control characters.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from codex_oss.contracts.mission import REPORT_OUTPUTS, SCHEMA_VERSION
from codex_oss.errors import BridgeError
from codex_oss.missions import projections
from codex_oss.services.child_process import ChildFailed, run_child
from codex_oss.services.local_model import LocalModel
from codex_oss.wire.sse import SseDecoder

MODEL: Final = "mission-a3-local"
QUESTION: Final = "In which file is RETRY_LIMIT defined, what is its value, and which file uses the retry limit?"
STATUSES: Final = ("COMPLETE", "PARTIAL", "ESCALATE", "FAILED")
MISSION_TIMEOUT_S: Final = 240.0
COMMAND_TIMEOUT_S: Final = 60.0
BRIDGE_START_TIMEOUT_S: Final = 30.0
OUR_VARIABLES: Final = re.compile(
    r"(PROXY_|LITELLM_|UPSTREAM_|OPENCODE_GO_|OSS_|RUNTIME_|MODEL_|FALLBACK_|GPT_MODEL_|MAX_GLOBAL_|REQUEST_DEADLINE|"
    r"DETERMINISTIC_|ESTIMATED_|XDG_CONFIG_HOME)"
)
"""Settings of a real bridge on this machine, which must not steer the demo's."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A message that a client saw as a whole. at_s: seconds since the mission was sent."""

    at_s: float
    text: str


@dataclass(frozen=True, slots=True)
class Delegated:
    """What came back from a mission: every commentary, and the report."""

    commentary: tuple[Spoken, ...]
    final: Spoken
    report: dict[str, Any]

    @property
    def mission_id(self) -> str:
        """Names the folder of the artifacts."""
        return str(self.report["mission_id"])

    @property
    def run_id(self) -> str:
        """Names the folder of the event log."""
        return str(self.report["run_id"])


def copy_sample_project(folder: Path) -> bool:
    """Copy the sample project into *folder*, which must be absent or empty. Returns whether git committed it."""
    if folder.exists() and any(folder.iterdir()):
        raise BridgeError(f"{folder} is not empty.", hint="Name a folder that does not exist yet.")
    with resources.as_file(resources.files("codex_oss") / "data" / "sample_project") as sample:
        shutil.copytree(sample, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".gitignore").write_text(".codex-oss/\n", encoding="utf-8")
    git = shutil.which("git")
    if git is None:
        return False
    who = ["-c", "user.name=codex-oss demo", "-c", "user.email=demo@localhost", "-c", "commit.gpgsign=false"]
    hookless = ["-c", "core.hooksPath=/dev/null", "-c", "init.defaultBranch=main"]
    environ = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "The sample project"]):
        done = _run([git, "-C", str(folder), *who, *hookless, *arguments], environ)
        if done.returncode != 0:
            raise BridgeError(f"git {arguments[0]} failed: {one_line(done.stderr)}")
    return True


@contextmanager
def run_bridge(folder: Path, model: LocalModel, local_key: str) -> Iterator[str]:
    """A bridge of its own for *folder*, with the embedded model as upstream; yields its base URL (`…/v1`)."""
    environ = {key: value for key, value in os.environ.items() if not OUR_VARIABLES.match(key)}
    environ |= {
        "UPSTREAM_BASE": model.base_url,
        "OPENCODE_GO_API_KEY": model.api_key,
        "PROXY_API_KEY": local_key,
        "XDG_CONFIG_HOME": str(folder / ".codex-oss" / "no-user-config"),
    }
    command = [sys.executable, "-P", "-m", "codex_oss", "up", "--port", "0", "--project", str(folder)]
    with ExitStack() as stack:
        try:
            child = stack.enter_context(run_child(command, environ=environ, start_timeout_s=BRIDGE_START_TIMEOUT_S))
        except ChildFailed as exc:
            raise BridgeError(f"The bridge {exc}.") from exc
        yield child.address


def write_handoff(mission_id: str) -> str:
    """The mission as a client sends it: one tagged MissionV1 block."""
    mission = {
        "schema_version": SCHEMA_VERSION,
        "mission_id": mission_id,
        "tier": "A3",
        "objective": QUESTION,
        "objective_style": "deterministic_lookup",
        "allowed_roots": ["courier"],
        "allowed_tool_classes": ["read", "search"],
        "required_outputs": list(REPORT_OUTPUTS),
        "tool_budget": 4,
        "time_budget_seconds": 90,
        "max_model_calls": 8,
    }
    return f"<OSS_HANDOFF_JSON>\n{json.dumps(mission, indent=2)}\n</OSS_HANDOFF_JSON>"


def delegate(base_url: str, key: str, handoff: str, on_commentary: Callable[[Spoken], None]) -> Delegated:
    """Send the mission to `POST /v1/responses`, streaming; on_commentary sees each message as it closes."""
    started = time.monotonic()
    commentary: list[Spoken] = []
    final: Spoken | None = None
    for event in _stream_response(base_url, key, handoff):
        match event.get("type"):
            case "response.output_item.done" if event["item"].get("type") == "message":
                text = "".join(part.get("text", "") for part in event["item"].get("content", []))
                spoken = Spoken(time.monotonic() - started, text)
                if event["item"].get("phase") == "commentary":
                    commentary.append(spoken)
                    on_commentary(spoken)
                else:
                    final = spoken
            case "response.failed" | "error":
                error = event.get("response", event).get("error") or {}
                raise BridgeError(f"The bridge ended the stream with: {one_line(str(error.get('message', error)))}")
            case "response.completed":
                if final is None:
                    raise BridgeError("The stream completed without a final report.")
                return Delegated(tuple(commentary), final, find_report(final.text))
    raise BridgeError("The stream ended without its closing event.")


def find_report(text: str) -> dict[str, Any]:
    """The report inside the final message: its last fenced JSON block, with `mission_id`, `run_id` and `status`."""
    blocks = re.findall(r"^```json\s*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    try:
        report = json.loads(blocks[-1])
    except (IndexError, ValueError):
        raise BridgeError("The final message holds no JSON block with the report.") from None
    if not isinstance(report, dict) or not all(isinstance(report.get(key), str) for key in ("mission_id", "run_id")):
        raise BridgeError("The report names no mission_id and run_id.")
    if report.get("status") not in STATUSES:
        raise BridgeError(f"The report has no honest status: {one_line(str(report.get('status')))}")
    return report


def human_part(text: str) -> str:
    """The final message without its JSON block."""
    return re.sub(r"^```json\s*\n.*?^```[^\S\n]*$", "", text, flags=re.DOTALL | re.MULTILINE).strip()


def count_generated_tokens(model: LocalModel) -> int:
    """How many tokens the model says it produced so far: a witness outside the bridge."""
    url = model.base_url.removesuffix("/v1") + "/metrics"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {model.api_key}"})  # noqa: S310
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as answer:
            text = answer.read(1 << 20).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as exc:
        raise BridgeError(f"The model does not tell its counters: {exc}") from exc
    found = re.search(r"^llamacpp:tokens_predicted_total (\d+)", text, re.MULTILINE)
    return int(found[1]) if found else 0


def audit(folder: Path, mission_id: str) -> int:
    """Let `codex-oss audit-mission` check the mission; returns the number of checks, all of which held."""
    command = [sys.executable, "-P", "-m", "codex_oss", "audit-mission", mission_id, "--project", str(folder), "--json"]
    done = _run(command, os.environ)
    try:
        verdict = json.loads(done.stdout)
        checks = [(check["name"], check["status"], check["message"]) for check in verdict["checks"]]
        fine = verdict["ok"] is True and done.returncode == 0
    except (ValueError, KeyError, TypeError):
        raise BridgeError(f"audit-mission gave no verdict: {one_line(done.stderr or done.stdout)}") from None
    failed = [f"{name}: {message}" for name, status, message in checks if status == "FAIL"]
    if not fine or failed or not checks:
        raise BridgeError(f"audit-mission does not vouch for it: {one_line('; '.join(failed) or 'no check was made')}")
    return len(checks)


def find_artifacts(folder: Path, delegated: Delegated) -> tuple[Path, Path]:
    """The mission's folder and its event log, both checked to be there and whole in number."""
    artifacts = folder / ".codex-oss" / "missions" / delegated.mission_id
    log = folder / ".codex-oss" / "runs" / delegated.run_id / "events.jsonl"
    missing = [name for name in projections.NAMES if not (artifacts / name).is_file()]
    if missing:
        raise BridgeError(f"{artifacts} lacks {', '.join(missing)}.")
    if not log.is_file() or log.stat().st_size == 0:
        raise BridgeError(f"{log} is missing or empty.")
    return artifacts, log


def one_line(text: str, limit: int = 300) -> str:
    """*text* for a terminal: one line, no control characters, bounded."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    shown = " ".join(plain.split())
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _stream_response(base_url: str, key: str, text: str) -> Iterator[dict[str, Any]]:
    """The events of one streamed response."""
    address = urlsplit(base_url)
    body = {"model": MODEL, "stream": True, "input": [{"type": "message", "role": "user", "content": text}]}
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Accept": "text/event-stream"}
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=MISSION_TIMEOUT_S)
    decoder = SseDecoder()
    try:
        connection.request("POST", f"{address.path}/responses", json.dumps(body), headers)
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            raise BridgeError(
                f"The bridge answered {answer.status}: {one_line(answer.read(4096).decode('utf-8', 'replace'))}"
            )
        while data := answer.read1(65536):
            for payload in decoder.feed(data):
                if payload != b"[DONE]":
                    yield json.loads(payload)
    except (OSError, http.client.HTTPException) as exc:
        raise BridgeError(f"The connection to the bridge broke: {type(exc).__name__}: {exc}") from exc
    finally:
        connection.close()


def _run(command: Sequence[str], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603
            list(command),
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise BridgeError(f"{Path(command[0]).name} could not be run: {exc}") from exc
