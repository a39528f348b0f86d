"""The public report: every identifier and secret of this machine is put where it could leak, and none of them does."""

from __future__ import annotations

import base64
import json
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from codex_oss.accounts.account import Account, Cooldown, Credential, Switch
from codex_oss.accounts.book import Book, Meant
from codex_oss.accounts.quota import Quota, Window
from codex_oss.accounts.shapes import encoded
from codex_oss.cli.main import cli
from codex_oss.errors import StoreError
from codex_oss.policy.pseudonyms import Pseudonyms
from codex_oss.services import report
from codex_oss.services.quota_store import QuotaStore
from codex_oss.services.report import make_report
from codex_oss.services.report_words import WORDS
from codex_oss.services.request_record import AttemptNote, RequestRecord, encode_record
from codex_oss.services.sandbox import probe_sandbox

NOW_S = int(time.time())
CANARIES = {
    "email": "canary.person@example.com",
    "account": "0canary0-1111-2222-3333-444455556666",
    "user": "user-Canary7777",
    "access": "eyJhbGciOi.canaryAccess.c2ln",
    "refresh": "rt_canaryRefresh_9f8e7d",
    "upstream_key": "sk-canary-upstream-0123456789",
    "local_key": "canary-local-key-1234",
    "session": "canary-session-77",
    "client": "canary-client/1.0",
    "model": "canary-private-model",
    "gpt_like": "gpt-5-canary-internal",
    "code": "canary_error_code",
    "why": "canary: because my name is Jane",
    "plan": "canary_plan",
    "host": "https://canary.internal.example/v1",
    "tools": "/opt/canary-tools",
    "set": "canary-persona",
    "path": "canary-folder",
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A home and a project, both with a canary in their path."""
    home = tmp_path / CANARIES["path"]
    (home / ".config" / "codex-oss").mkdir(parents=True)
    (home / "project" / ".codex-oss" / "state").mkdir(parents=True)
    return home


def account() -> Account:
    """An account whose every text is a canary."""
    name = CANARIES
    return Account(
        key=f"{name['account']}|{name['email']}|{name['plan']}",
        account_id=name["account"],
        email=name["email"],
        user_id=name["user"],
        plan=name["plan"],
        credential=Credential(3, (NOW_S + 3600) * 1000, name["access"], name["refresh"]),
        switch=Switch(1, False, name["why"]),
        cooldown=Cooldown((NOW_S + 60) * 1000, name["code"]),
        last_error=(NOW_S * 1000, name["code"]),
        extra={"note": name["why"]},
    )


def filled(home: Path) -> dict[str, str]:
    """Canaries in the store, the settings, the environment and the request log; returns the environment."""
    name, folder = CANARIES, home / ".config" / "codex-oss"
    second = structs.replace(account(), key="k2", email="canary.second@example.com", plan="plus", switch=Switch())
    (folder / "codex-accounts.json").write_bytes(encoded(Book((account(), second), Meant(1, second.person_key))))
    quotas = QuotaStore(folder)
    quotas.take(second.person_key, Quota(NOW_S, (Window(18000, 12.5, NOW_S + 100),), plan=name["plan"]))
    quotas.flush()
    (folder / "config.toml").write_text(
        f'upstream_base = "{name["host"]}"\nlocal_key = "{name["local_key"]}"\nport = 4123\ngpt_strategy = "accounts"\n'
        f'sandbox_readable = ["{name["tools"]}"]\ninstruction_set = ["{name["set"]}"]\n'
        f'model_map = {{ "{name["model"]}" = "x" }}\n'
    )
    record = RequestRecord(
        time="2026-01-01T00:00:00.000Z",
        request_id="req_canary",
        surface="responses",
        client=name["client"],
        session=name["session"],
        model=name["gpt_like"],
        lane=name["code"],
        reason=name["why"],
        outcome="failed",
        error_code=name["code"],
        attempts=(
            AttemptNote(account().key, "initial_attempt", "used_up"),
            AttemptNote("canary|gone|account", "retry_switched_account_after_429", name["code"]),
        ),
    )
    known = structs.replace(record, error_code="usage_limit_reached", model="gpt-5.1-codex-max", lane="chatgpt")
    lines = encode_record(record) + encode_record(known) + b"canary torn line"
    (home / "project/.codex-oss/state/requests.jsonl").write_bytes(lines)
    return {"HOME": str(home), "OPENCODE_GO_API_KEY": name["upstream_key"], "UNRELATED": "canary-elsewhere"}


def spellings(text: str) -> set[str]:
    """How a text could turn up."""
    data = text.encode()
    shifted = {base64.b64encode(b"x" * lead + data).decode()[4 : 4 + len(data)] for lead in range(3)}
    return {text, text.lower(), quote(text, safe=""), data.hex(), json.dumps(text)[1:-1], *shifted} - {""}


def test_no_canary_is_in_a_report(place: Path) -> None:
    """Raw, in lower case, escaped, as hex and as base64: none of what is the user's is found."""
    text = json.dumps(make_report(place / "project", filled(place)), ensure_ascii=False)
    found = {name for name, canary in CANARIES.items() for form in spellings(canary) if len(form) > 5 and form in text}
    assert found == set()
    assert "canary" not in text.lower()
    assert str(place) not in text
    assert "@" not in text


def test_a_report_still_says_what_helps(place: Path) -> None:
    """States, numbers, known codes, the same name for the same account throughout."""
    told = make_report(place / "project", filled(place))
    first, second = told["accounts"]
    assert told["schema"] == "report.v1"
    assert told["sandbox"]["default"] == probe_sandbox()
    assert told["settings"]["port"] == 4123
    assert told["settings"]["gpt_strategy"] == "accounts"
    assert told["settings"]["upstream_base"] == {"set": 1}
    assert told["environment"] == ["OPENCODE_GO_API_KEY"]
    assert (first["reason"], first["enabled"], first["generation"]) == ("disabled", False, 3)
    assert (second["plan"], second["active"], second["quota"][0]["window"]) == ("plus", True, "5h")
    assert first["workspace"] == second["workspace"]
    assert first["account"] != second["account"]
    assert re.fullmatch("acct_[0-9a-f]{8}", first["account"])
    failures = told["requests"]["last_failures"]
    assert [one["attempts"][0]["account"] for one in failures] == [first["account"]] * 2
    assert failures[1]["code"] == "usage_limit_reached"
    assert failures[1]["model"] == "gpt-5.1-codex-max"
    assert failures[1]["attempts"][0]["reason"] == "initial_attempt"
    assert re.fullmatch("word_[0-9a-f]{8}", failures[0]["code"])
    assert told["requests"]["codes"]["usage_limit_reached"] == 1


def test_two_reports_cannot_be_joined(place: Path) -> None:
    """Every name is another one in the next report."""
    environ = filled(place)
    first, second = (json.dumps(make_report(place / "project", environ)["accounts"]) for _ in range(2))
    names = [set(re.findall("(?:acct|ws|word)_[0-9a-f]{8}", text)) for text in (first, second)]
    assert names[0]
    assert not names[0] & names[1]


def test_a_report_that_would_give_something_away_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last look finds what an error of ours let through, raw or encoded; nothing is printed or written."""
    environ = filled(place)
    for leak in (CANARIES["email"], base64.b64encode(CANARIES["refresh"].encode()).decode(), str(place)):
        monkeypatch.setattr(report, "_versions", lambda leak=leak: {"oops": leak})
        with pytest.raises(StoreError) as refused:
            make_report(place / "project", environ)
        assert refused.value.code == "report_unsafe"
        assert leak not in refused.value.message


@pytest.mark.parametrize("damaged", ["codex-accounts.json", "config.toml"])
def test_a_damaged_part_does_not_cost_the_others(place: Path, damaged: str) -> None:
    """It says so by a code, without the words of the damage."""
    environ = filled(place)
    (place / ".config" / "codex-oss" / damaged).write_text("canary {{{ damaged")
    told = make_report(place / "project", environ)
    part = "accounts" if damaged.endswith("json") else "settings"
    assert "problem" in told[part]
    assert "canary" not in json.dumps(told)
    assert told["requests"]["looked_at"] == 2


def test_nothing_at_all_is_a_report_too(tmp_path: Path) -> None:
    """A machine where nothing was set up."""
    told = make_report(tmp_path, {"HOME": str(tmp_path)})
    assert (told["accounts"], told["requests"]["looked_at"]) == ([], 0)


def test_the_verb_writes_a_private_file(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or prints; the same JSON either way."""
    for name, value in filled(place).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    out, project = place / "report.json", str(place / "project")
    assert CliRunner().invoke(cli, ["report", "--project", project, "--out", str(out)]).exit_code == 0
    assert out.stat().st_mode & 0o777 == 0o600
    printed = CliRunner().invoke(cli, ["report", "--project", project])
    for text in (out.read_text(), printed.stdout):
        told: dict[str, Any] = json.loads(text)
        assert told["schema"] == "report.v1"
        assert "canary" not in text


@given(st.text(min_size=1), st.text(min_size=1))
def test_pseudonyms_are_stable_and_tell_nothing(one: str, other: str) -> None:
    """The same text has the same name, another kind another one, and an unknown word is never shown."""
    names = Pseudonyms(b"k" * 32, WORDS)
    assert names.name("acct", one) == names.name("acct", one)
    assert names.name("acct", one) != names.name("ws", one)
    assert (names.name("acct", one) == names.name("acct", other)) == (one == other)
    assert names.word(one) == (one if one in WORDS else names.name("word", one))
    assert re.fullmatch("acct_[0-9a-f]{8}", names.name("acct", one))
