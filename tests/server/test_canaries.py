"""Canaries: secrets planted wherever one can lie, and everything a mission wrote, sent and said searched for them.

Two kinds: a *word* that looks like nothing lies where nobody may read at all, a *token* that looks like a secret where
reading is allowed. Each has its place in its name, so a leak says where it came from. All are synthetic.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.cli.test_missions import run_cli
from tests.fakes.bridge_process import LOCAL_KEY, UPSTREAM_KEY, BridgeProcess, running_bridge
from tests.fakes.chat_upstream import Answer, ChatUpstream, action, body, error
from tests.server.test_hostile_missions import commit_everything
from tests.server.test_missions import HANDOFF, handed

DEPLOY_TOKEN = "dpl0y-7fa2c9-9ke21-zz81q"
PEM = "PRIVATE KEY-----"


@dataclass
class Canaries:
    """Every canary by its place."""

    planted: dict[str, str] = field(default_factory=dict)

    def word(self, place: str) -> str:
        """A canary without any form: only not being read protects it."""
        return self._plant(place, f"cnry{hashlib.sha256(place.encode()).hexdigest()[:14]}")

    def token(self, place: str) -> str:
        """A canary in a vendor's form: redaction must find it."""
        raw = hashlib.sha512(place.encode()).digest()
        return self._plant(place, "ghp_" + base64.b64encode(raw).decode().replace("+", "0").replace("/", "1")[:36])

    def _plant(self, place: str, value: str) -> str:
        return self.planted.setdefault(place, value)


def spellings(value: str) -> Iterator[bytes]:
    """*value* as anybody might write it: plain, reversed, base64 (aligned in 3 ways, 2 alphabets), hex, escaped."""
    data = value.encode()
    yield data
    yield data[::-1]
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + data)
        inner = whole[(0, 2, 3)[shift] : len(whole) - 4]
        yield inner
        yield inner.replace(b"+", b"-").replace(b"/", b"_")
    yield data.hex().encode()
    yield data.hex().upper().encode()
    yield quote(value, safe="").encode()
    yield "".join(f"%{byte:02X}" for byte in data).encode()
    yield "".join(f"\\u{byte:04x}" for byte in data).encode()


def leaks(canaries: Canaries, texts: dict[str, bytes]) -> list[str]:
    """Where which canary turned up."""
    everything = b"\n".join(texts.values())
    return [
        f"{place} in {name}"
        for place, value in canaries.planted.items()
        for form in spellings(value)
        if form in everything
        for name, text in texts.items()
        if form in text
    ]


def write(path: Path, text: str | bytes) -> None:
    """A file, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


@pytest.fixture
def canaries() -> Canaries:
    """None planted yet; the keys of the process count from the start."""
    return Canaries({"upstream key": UPSTREAM_KEY, "environment": DEPLOY_TOKEN})


@pytest.fixture
def project(tmp_path: Path, canaries: Canaries) -> Path:
    """A repository with canaries in files of many kinds, in names, in links, in its history and its configuration."""
    root, word, token = tmp_path / "project", canaries.word, canaries.token
    for name in (".env", "app/.env.production", "app/.ENV", "app/secrets/db.txt", "deploy/id_rsa", "app/server.pem",
                 "app/terraform.tfstate", "app/.npmrc", "app/.ssh/config", ".codex-oss/state/note.txt",
                 "app/private/plan.md"):  # fmt: skip
        write(root / name, f"CANARY = {word(name)}\n")
    write(root / f"app/.env.{word('denied file name')}", "CANARY = 1\n")
    write(root / ".codex-oss/ignore", "# ours\nPrivate/\n")
    write(tmp_path / "outside.txt", f"CANARY = {word('outside')}\n")
    (root / "app/link.txt").symlink_to(tmp_path / "outside.txt")
    (root / "app/up").symlink_to(tmp_path)
    os.link(tmp_path / "outside.txt", root / "app/hard.txt")
    os.mkfifo(root / "app/pipe")
    write(root / "app/wide.txt", f"CANARY = {word('utf-16')}\n".encode("utf-16"))
    write(root / "app/blob.bin", b"\0\1CANARY = " + word("binary file").encode() + b"\n")
    write(root / "app/limits.py", f'LIMIT = 3  # CANARY\nKEY = "{token("python")}"\n')
    write(root / "app/config.json", json.dumps({"CANARY": {"api_key": token("json")}}))
    write(root / "app/config.yaml", f"CANARY:\n  token: {token('yaml')}\n")
    write(root / "app/settings.ini", f"[CANARY]\r\ntoken={token('crlf')}\r\n")
    write(root / "app/latin.txt", f"caf\u00e9 CANARY {token('latin-1')}\n".encode("latin-1"))
    write(root / "app/notebook.ipynb", json.dumps({"cells": [{"source": [f'CANARY = "{token("notebook")}"\n']}]}))
    rows = "\n".join(base64.b64encode(hashlib.sha512(bytes([n])).digest()[:48]).decode() for n in range(5))
    canaries.planted["pem in a document"] = rows.split("\n")[2]
    write(root / "docs/keys.md", f"# CANARY\n\n-----BEGIN RSA {PEM}\n{rows}\n-----END RSA {PEM}\n")
    held = UPSTREAM_KEY.encode()
    write(root / "app/dump.txt", f"CANARY {held.hex()} {base64.b64encode(b'user:' + held).decode()} {DEPLOY_TOKEN}\n")
    write(root / f"app/backup_{token('file name')}.txt", "CANARY\n")
    write(root / "app/long.txt", "x" * 3_000 + f" CANARY {token('long line')}\n")
    commit_everything(root, f"CANARY rotate {token('commit message')}")
    subprocess.run(["git", "checkout", "-qb", f"fix-{token('branch')}"], cwd=root, check=True)
    with (root / ".git/config").open("a") as config:
        config.write(f'[remote "o"]\n\turl = https://u:{word("git config")}@example.invalid/r\n')
    write(root / ".git/hooks/pre-commit", f"#!/bin/sh\n# CANARY {word('git hook')}\n")
    write(root / "app/new.txt", f"CANARY {token('untracked')}\n")
    return root


def steps(canaries: Canaries) -> list[list[Answer]]:
    """What a careless or hostile model and its server say, mission by mission."""
    token = canaries.token
    reads = [
        ".env", "app/.env.production", "app/.ENV", "app/secrets/db.txt", "deploy/id_rsa", "app/server.pem",
        "app/./.env",
        "app/private/plan.md", "app/PRIVATE/plan.md", "app/link.txt", "app/up/outside.txt", "app/hard.txt", "app/pipe",
        "../outside.txt", "/etc/hostname", "/proc/self/environ", ".git/config", ".git/hooks/pre-commit",
        ".codex-oss/state/note.txt", "app/wide.txt", "app/blob.bin", "app/limits.py", "app/config.json",
        "app/config.yaml",
        "app/settings.ini", "app/latin.txt", "app/notebook.ipynb", "docs/keys.md", "app/dump.txt", "app/long.txt",
        f"app/{token('asked path')}.py",
    ]  # fmt: skip
    calls = [("rtk_read", {"path": path}) for path in reads]
    calls += [
        ("rtk_grep", {"pattern": "CANARY", "path": "."}),
        ("rtk_grep", {"pattern": "cnry[0-9a-f]+", "path": "app"}),
        ("rtk_grep", {"pattern": token("searched pattern"), "path": "app"}),
        ("rtk_ls", {"path": "app"}),
        ("rtk_ls", {"path": "."}),
        ("rtk_git_log", {}),
        ("rtk_git_status", {}),
        ("rtk_git_show_stat", {}),
        ("rtk_write", {"path": token("refused tool"), "content": "x"}),
    ]
    said = f"I keep {token('reason')} in mind"
    answers = [
        action({"action_type": "tool_call", "tool_name": tool, "arguments": arguments, "reason": said})
        for tool, arguments in calls
    ]
    spelled = base64.b64encode(UPSTREAM_KEY.encode()).decode()
    echoed = f"bad key {UPSTREAM_KEY} {spelled} {DEPLOY_TOKEN} {token('error body')}"
    failures = [
        error(503, echoed, code="overloaded"),
        body(f"<html>{echoed}</html>", status=502, content_type="text/html"),
        error(400, echoed, code="invalid_request_error"),
    ]
    finding = {
        "claim": f"`LIMIT` is 3, says {token('claim')}",
        "evidence_refs": ["file:app/limits.py#extract:1"],
        "confidence": "LOW",
    }
    report = {"status": "COMPLETE", "confidence": "LOW", "findings": [finding], "caveats": [token("caveat")],
              "uncertainties": [DEPLOY_TOKEN], "next_steps": [UPSTREAM_KEY]}  # fmt: skip
    # After three fruitless calls only a report is accepted, so a mission has three.
    parts = [answers[at : at + 3] for at in range(0, len(answers), 3)]
    reports = [action({"action_type": "final_report", "report": report})] * 4
    return [[*part, *reports] for part in parts] + [[failure, *reports] for failure in failures]


def mission(canaries: Canaries, number: int) -> dict[str, Any]:
    """A contract that holds secrets itself."""
    token = canaries.token
    return {
        **HANDOFF,
        "mission_id": f"m_{number}_{token('mission id')}",
        "objective": f"Where is LIMIT defined? The key is {token('objective')}.",
        "allowed_paths": [],
        "allowed_roots": ["."],
        "allow_broad_read_scope": True,
        "allowed_tool_classes": ["read", "search", "list", "safe_git"],
        "forbidden_topics": [token("topic")],
        "context": token("unknown field"),
        "tool_budget": 60,
        "time_budget_seconds": 120,
    }


def said_by(bridge: BridgeProcess) -> dict[str, bytes]:
    """What the bridge tells about itself and its missions."""
    pages = {path: bridge.request("GET", path).body for path in ("/metrics", "/health", "/api/missions")}
    for told in json.loads(pages["/api/missions"]).get("missions", []):
        for path in ("", "/events", "/report"):
            place = f"/api/missions/{told['mission_id']}{path}"
            pages[place] = bridge.request("GET", place).body
    return pages


def kept_in(folder: Path) -> dict[str, bytes]:
    """Every file below *folder*, and all their names."""
    planted = {folder / "state/note.txt"}
    files = [path for path in folder.rglob("*") if path.is_file() and path not in planted]
    names = "\n".join(str(path) for path in files).encode()
    return {"names of files": names, **{str(path): path.read_bytes() for path in files}}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("protocol", ["json", "tools"])
def test_no_canary_leaves_its_place(project: Path, canaries: Canaries, protocol: str) -> None:
    """More than forty places, and not one of them in requests, artifacts, logs, commentary, metrics or error texts."""
    script: list[Answer] = []
    extra = {"DEPLOY_TOKEN": DEPLOY_TOKEN, "CODEX_OSS_ACTION_PROTOCOL": protocol, "OSS_VISIBLE_TRACE": "detailed",
             "OSS_VISIBLE_TRACE_MAX_EVENTS": "400", "UPSTREAM_RETRIES": "0"}  # fmt: skip
    answers = b""
    with (
        ChatUpstream(lambda request: script.pop(0)) as up,
        running_bridge(project, upstream=up.base_url, **extra) as bridge,
    ):
        headers = {**bridge.auth, "User-Agent": canaries.token("user agent"), "session_id": canaries.token("session")}
        for number, part in enumerate(steps(canaries)):
            script[:] = part
            asked = {"model": "mission-a3-kimi", "input": handed(mission(canaries, number)), "stream": True}
            answer = bridge.request("POST", "/v1/responses", json.dumps(asked).encode(), headers)
            assert answer.status == 200
            answers += answer.body
        wrong = {
            **mission(canaries, 99),
            "tier": canaries.token("bad tier"),
            "allowed_paths": [canaries.token("x") + "/.."],
        }
        refused = bridge.post({"model": "mission-a3-kimi", "input": handed(wrong)})
        answers += refused.body
        bad = bridge.request("POST", "/v1/responses", f'{{"model": "{canaries.token("bad model name")}"}}'.encode())
        texts = {"answers": answers, "refusal": bad.body, **said_by(bridge)}
        missions = json.loads(texts["/api/missions"])["missions"]
        sent = {f"request {n}": request.body for n, request in enumerate(up.requests)}
    assert len(sent) >= 50
    assert len(missions) >= 10
    assert b"path_denied" in b"".join(sent.values())
    assert b"[REDACTED:" in b"".join(sent.values())
    for verb in ("show-summary", "show-trace", "explain", "audit-mission"):
        done = run_cli(project, verb, missions[-1]["mission_id"])
        texts[verb] = (done.stdout + done.stderr).encode()
        assert len(texts[verb]) > 50
    texts["bridge log"] = bridge.log.read_bytes()
    home = kept_in(project.parent / f"{project.name}-home")
    kept = kept_in(project / ".codex-oss")
    assert len(canaries.planted) >= 40
    assert sum(len(text) for text in kept.values()) > 20_000
    assert leaks(canaries, {**texts, **sent, **home, **kept}) == []
    assert LOCAL_KEY.encode() not in b"".join((*sent.values(), *kept.values()))


def test_the_search_for_canaries_finds_them(canaries: Canaries) -> None:
    """The check above can fail: each spelling is found in a text that holds it."""
    value = canaries.token("somewhere")
    for form in spellings(value):
        assert leaks(canaries, {"text": b"xx" + form + b"yy"}), form
