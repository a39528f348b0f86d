"""The probe's verdict: what a client must not do with text before the end, each thing named; and its provider."""

from __future__ import annotations

import http.client
import json
import time
from pathlib import Path
from typing import Any

import pytest

from codex_oss.errors import StoreError
from codex_oss.services.app_server_probe import judge_probe, probe_app_server
from codex_oss.services.codex_app_server import AppServerRun, Notice
from codex_oss.services.probe_provider import FINAL, MODEL, PROGRESS, Shape, frames, probe_provider
from tests.fakes.bridge_process import sse_events

DELAY_S = 0.25
PHASES = ("commentary", "commentary", "commentary", "final_answer")


def run_of(times: dict[str, float], phases: tuple[str | None, ...] = PHASES, **fields: Any) -> AppServerRun:
    """A run whose texts were completed at these times."""
    run = AppServerRun(turn_status="completed", user_agent="codex-oss/0.169.0")
    for (text, at_s), phase in zip(times.items(), phases, strict=False):
        item = {"type": "agentMessage", "text": text, "phase": phase}
        run.notices.append(Notice(at_s, {"method": "item/completed", "params": {"item": item}}))
    for name, value in fields.items():
        setattr(run, name, value)
    return run


GOOD = {text: 1 + number * DELAY_S for number, text in enumerate((*PROGRESS, FINAL))}
CASES: dict[str, tuple[AppServerRun, Shape, str, str]] = {
    "good": (run_of(GOOD), "commentary", "pass", ""),
    "good without phases": (run_of(GOOD, (None,) * 4), "text", "pass", ""),
    "phases lost": (run_of(GOOD, (None,) * 4), "commentary", "fail", "PROGRESS_ONE has phase None, not commentary"),
    "one dropped": (
        run_of({text: at for text, at in GOOD.items() if text != "PROGRESS_TWO"}),
        "text", "fail", "PROGRESS_TWO was never notified",
    ),
    "held back": (
        run_of(dict.fromkeys(GOOD, 3.0)),
        "text", "fail", "PROGRESS_ONE came with the final text or after it",
    ),
    "in a burst": (
        run_of({text: 3 + number / 1000 for number, text in enumerate(GOOD)}),
        "text", "fail", "the texts came at once and not as they were sent",
    ),
    "no turn": (run_of({}, failure="the app-server ended"), "text", "setup_failed", "the app-server ended"),
    "a failed turn": (run_of(GOOD, turn_status="failed"), "text", "setup_failed", "the turn ended as failed"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_fault_has_its_reason(name: str) -> None:
    """pass only when everything came in time; the first reason names what did not."""
    run, shape, status, reason = CASES[name]
    found = judge_probe(run, shape, DELAY_S)
    assert (found.probe_status, "".join(found.reasons[:1])) == (status, reason)


@pytest.mark.parametrize("shape", ["text", "commentary"])
def test_the_provider_says_four_texts_slowly(shape: Shape) -> None:
    """One after the other with the delay between, phases only where they belong, one terminal event."""
    with probe_provider(shape, delay_s=0.1) as base_url:
        connection = http.client.HTTPConnection(base_url.removeprefix("http://").removesuffix("/v1"), timeout=20)
        connection.request("POST", "/v1/responses", json.dumps({"model": MODEL, "input": "x", "stream": True}))
        response, began = connection.getresponse(), time.monotonic()
        body = response.read()
        took_s = time.monotonic() - began
        connection.request("GET", "/v1/models")
        assert json.loads(connection.getresponse().read())["data"][0]["id"] == MODEL
        connection.close()
    items = [event["item"] for event in sse_events(body) if event["type"] == "response.output_item.done"]
    assert [item["content"][0]["text"] for item in items] == [*PROGRESS, FINAL]
    assert [item.get("phase") for item in items] == list(PHASES if shape == "commentary" else (None,) * 4)
    assert took_s >= 0.3
    assert [event["type"] for event in sse_events(body)].count("response.completed") == 1


def test_a_port_that_is_taken_is_said() -> None:
    """One sentence, no traceback; and the first one goes on."""
    with probe_provider("text", delay_s=0) as base_url:
        port = int(base_url.rpartition(":")[2].removesuffix("/v1"))
        with pytest.raises(StoreError, match="cannot be had"), probe_provider("text", port=port):
            pass


def test_a_program_that_is_no_codex_is_a_failed_set_up(tmp_path: Path) -> None:
    """It ends, or says nothing: setup_failed in both cases, within the time that was given."""
    script = tmp_path / "codex"
    for body in ("exit 3", "cat > /dev/null", "echo '[]'; sleep 60"):
        script.write_text(f"#!/bin/sh\n{body}\n")
        script.chmod(0o755)
        began = time.monotonic()
        found = probe_app_server(str(script), "text", folder=tmp_path, delay_s=0.01, timeout_s=1.5)
        assert (found.probe_status, len(found.reasons)) == ("setup_failed", 1)
        assert time.monotonic() - began < 10


def test_the_frames_are_those_of_the_bridge() -> None:
    """Five writes: four texts and the end, so that each text is a read of its own for a client."""
    assert len(list(frames("text"))) == 5
