"""`codex-oss accounts doctor`: each fault is found and has its fix, and looking changes nothing."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from codex_oss.accounts.account import Account, Credential, Switch
from codex_oss.cli import account_checks
from codex_oss.cli.doctor_checks import look_around
from codex_oss.services.account_store import exclusive
from tests.cli.account_home import ANN, BOB, CANARY, FAR_MS, Home
from tests.fakes.issuer import Issuer, jwt

OFF = Switch(1, enabled=False, why="by_person")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A user with two healthy accounts."""
    made = Home(tmp_path)
    made.put(ANN, BOB)
    return made


def checks(home: Home, *words: str, status: int = 0) -> dict[str, dict[str, Any]]:
    """Name to the worst finding of that name."""
    told = home.told("accounts", "doctor", *words, status=status)
    assert told["healthy"] is (status == 0)
    order = {"PASS": 0, "WARN": 1, "FAIL": 2}
    found: dict[str, dict[str, Any]] = {}
    for row in told["checks"]:
        if order[row["status"]] >= order[found.get(row["name"], row)["status"]]:
            found[row["name"]] = row
    return found


def test_all_is_well(home: Home) -> None:
    """Every check passes, in the general doctor too; nothing is changed by looking."""
    home.told("accounts", "disable", BOB.key)
    home.told("accounts", "enable", BOB.key)
    before = {path: path.stat().st_mtime_ns for path in home.folder.rglob("*")}
    found = checks(home)
    assert {name for name, row in found.items() if row["status"] != "PASS"} <= {"accounts.port"}
    assert set(found) >= {f"accounts.{name}" for name in ("private", "store", "lock", "twins", "usable", "port")}
    general = json.loads(home.run("doctor", "--offline", "--json").stdout)
    assert {row["name"] for row in general["checks"]} >= set(found)
    assert {path: path.stat().st_mtime_ns for path in home.folder.rglob("*")} == before


def test_nobody_signed_in(tmp_path: Path) -> None:
    """The general doctor says nothing of accounts; the other one says how to get one."""
    home = Home(tmp_path)
    general = json.loads(home.run("doctor", "--offline", "--json").stdout)
    assert [row["name"] for row in general["checks"] if row["name"].startswith("accounts.")] == []
    done = home.run("accounts", "doctor")
    assert (done.returncode, "codex-oss login" in done.stdout) == (0, True)
    assert not home.folder.exists()


def put(*accounts: Account) -> Callable[[Home], None]:
    """A world with these accounts."""
    return lambda home: home.put(*accounts)


def opened_up(home: Home) -> None:
    home.store.path.chmod(0o644)


def damaged(home: Home) -> None:
    home.store.path.write_text('{"accounts": [')


def put_aside(home: Home) -> None:
    aside = home.folder / "quarantine" / "codex-accounts.json.5.quarantine.json"
    aside.parent.mkdir(mode=0o700)
    aside.touch(mode=0o600)


SKEWED = jwt({"exp": FAR_MS / 1000 - 600})
AHEAD = jwt({"iat": time.time() + 3600})
SAME_TOKEN = structs.replace(BOB, credential=structs.replace(BOB.credential, refresh=ANN.credential.refresh))
SAME_PERSON = structs.replace(ANN, key="acc1|new@x.y|plus", email="new@x.y")
NAMELESS = Account(key="legacy|_|_|_", credential=Credential(0, FAR_MS, "a", "r"))
DEAD = structs.replace(BOB, dead_generation=1)
WORLDS: list[tuple[str, Callable[[Home], None], str, str, str]] = [
    ("others can read it", opened_up, "accounts.private", "FAIL", "chmod"),
    ("the book is damaged", damaged, "accounts.store", "FAIL", "codex-oss login"),
    ("something was put aside", put_aside, "accounts.quarantine", "WARN", "delete"),
    ("one token twice", put(ANN, SAME_TOKEN), "accounts.twins", "WARN", "accounts remove"),
    ("one person twice", put(ANN, SAME_PERSON), "accounts.twins", "WARN", "accounts remove"),
    ("nobody knows whose", put(ANN, NAMELESS), "accounts.twins", "WARN", "codex-oss login"),
    (
        "the clock is ahead",
        put(structs.replace(ANN, credential=Credential(1, FAR_MS, SKEWED, "r"))),
        *("accounts.clock", "WARN", "timedatectl"),
    ),
    (
        "the clock is behind",
        put(structs.replace(ANN, credential=Credential(1, FAR_MS, AHEAD, "r"))),
        *("accounts.clock", "WARN", "timedatectl"),
    ),
    ("one needs a login", put(ANN, DEAD), "accounts.usable", "WARN", "codex-oss login"),
    (
        "a workspace refuses",
        put(ANN, structs.replace(BOB, workspace=OFF)),
        *("accounts.usable", "WARN", "workspace"),
    ),
    ("nobody can answer", put(DEAD), "accounts.usable", "FAIL", "codex-oss login"),
    ("all are disabled", put(structs.replace(ANN, switch=OFF)), "accounts.usable", "FAIL", "accounts enable"),
    ("the book is empty", put(), "accounts.usable", "WARN", "codex-oss login"),
]


@pytest.mark.parametrize(("why", "make", "name", "status", "fix"), WORLDS, ids=[world[0] for world in WORLDS])
def test_each_fault_has_its_fix(
    home: Home, why: str, make: Callable[[Home], None], name: str, status: str, fix: str
) -> None:
    """Found under its name with what to do, and the file is left as it is."""
    make(home)
    before = home.store.path.read_bytes()
    row = checks(home, status=1 if status == "FAIL" else 0)[name]
    assert (row["status"], fix in row["fix"]) == (status, True), row
    assert home.store.path.read_bytes() == before
    shown = home.run("accounts", "doctor").stdout
    assert row["fix"].splitlines()[0] in shown
    assert CANARY not in shown + json.dumps(row)


def test_a_lock_that_nobody_lets_go(home: Home) -> None:
    """Found without waiting long."""
    with exclusive(home.folder / "codex-accounts.json.lock", 1):
        row = checks(home, status=1)["accounts.lock"]
    assert (row["status"], "fuser" in row["fix"]) == ("FAIL", True)
    assert checks(home)["accounts.lock"]["status"] == "PASS"


def test_whether_the_issuer_answers(home: Home) -> None:
    """Any answer is one; none is a fault. Without --network nobody is asked."""
    with Issuer() as rude:
        home.environ = {"CODEX_OSS_OAUTH_ISSUER": rude.url}
        assert checks(home, "--network")["accounts.issuer"]["status"] == "PASS"
    assert checks(home, "--network", status=1)["accounts.issuer"]["status"] == "FAIL"
    assert "accounts.issuer" not in checks(home)


def test_who_sits_on_the_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One busy port is named and no fault; both are a warning with another way in."""
    scene = look_around(tmp_path, {"HOME": str(tmp_path)}, offline=True)
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = (one.getsockname()[1], two.getsockname()[1])
        monkeypatch.setattr(account_checks, "PORTS", ports)
        (row,) = account_checks.check_port(scene)
        assert (row.status, "--device" in row.fix) == ("WARN", True)
        assert "pid" in row.message
        monkeypatch.setattr(account_checks, "PORTS", (ports[0], 1))
        (row,) = account_checks.check_port(scene)
        assert (row.status, str(ports[0]) in row.message) == ("PASS", True)
    (row,) = account_checks.check_port(scene)
    assert "free" in row.message


def test_somebody_answers_gpt_models(home: Home) -> None:
    """Only asked where accounts are to answer; then nobody who could is a fault, and official words are said."""
    assert "accounts.lane" not in checks(home)
    home.environ = {"GPT_MODEL_STRATEGY": "accounts"}
    assert "2 of 2 accounts" in checks(home)["accounts.lane"]["message"]
    home.environ["CODEX_OSS_ACCOUNT_IDENTITY"] = "codex"
    assert checks(home)["accounts.identity"]["status"] == "WARN"
    for name in (ANN.key, BOB.key):
        home.told("accounts", "disable", name)
    found = checks(home, status=1)["accounts.lane"]
    assert (found["status"], "disabled" in found["message"]) == ("FAIL", True)
    home.store.path.unlink()
    general = json.loads(home.run("doctor", "--offline", "--json").stdout)
    (lane,) = [row for row in general["checks"] if row["name"] == "accounts.lane"]
    assert (lane["status"], "codex-oss login" in lane["fix"]) == ("FAIL", True)
