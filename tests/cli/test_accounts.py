"""`codex-oss accounts …` as a real process: each verb, its way back, and what must not happen."""

from __future__ import annotations

import json
import shlex
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec import structs

from codex_oss.accounts.account import Cooldown, Switch
from codex_oss.accounts.book import Book, Meant
from codex_oss.accounts.view import LISTED
from codex_oss.services.account_store import KEPT
from tests.cli.account_home import ANN, BOB, CANARY, TEAM, Home

KEY = ANN.key


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A user with three accounts, the first of them active."""
    made = Home(tmp_path)
    made.put(ANN, BOB, TEAM, active=Meant(1, ANN.person_key), extra={"later": [1]})
    return made


def test_list_is_the_fixed_form(home: Home) -> None:
    """`{"accounts": […]}` with the fields of the issue and no others, and the file is not touched."""
    before = home.store.path.stat().st_mtime_ns
    told = home.told("accounts", "list")
    assert list(told) == ["accounts"]
    assert [row["key"] for row in told["accounts"]] == [ANN.key, BOB.key, TEAM.key]
    assert all(tuple(row) == LISTED for row in told["accounts"])
    assert [row["active"] for row in told["accounts"]] == [True, False, False]
    assert home.store.path.stat().st_mtime_ns == before


def test_list_is_readable(home: Home) -> None:
    """One line for each account with its key; what is unknown is called so."""
    shown = home.run("accounts", "list").stdout.splitlines()
    assert shown[1].startswith("* ann@x.y (plus)")
    assert shown[1].endswith(KEY)
    assert "unknown" in shown[1]
    assert "ready" in shown[2]


def test_nobody_signed_in(tmp_path: Path) -> None:
    """An empty list, a hint for the person, and nothing is made on the disk."""
    home = Home(tmp_path)
    assert home.told("accounts", "list") == {"accounts": []}
    assert "codex-oss login" in home.run("accounts", "list").stdout
    assert not home.folder.exists()


def test_an_empty_book_stays_empty(tmp_path: Path) -> None:
    """Old files beside it are no reason to fill it."""
    home = Home(tmp_path)
    old = home.home / ".config" / "opencode" / "openai-codex-accounts.json"
    old.parent.mkdir(parents=True)
    old.write_text(json.dumps({"accounts": [{"refreshToken": "rt", "accountId": "a"}]}))
    home.put()
    home.store.path.parent.mkdir(parents=True, exist_ok=True)
    home.store.path.write_text('{"schemaVersion": 1, "accounts": []}')
    assert home.told("accounts", "list") == {"accounts": []}
    assert home.told("accounts", "status", "--no-poll")["accounts"] == []
    assert json.loads(home.store.path.read_text())["accounts"] == []


BACK = [
    ("use", BOB.key, {"active": True}),
    ("pin", BOB.key, {}),
    ("disable", BOB.key, {"enabled": False, "reason": "disabled"}),
]


@pytest.mark.parametrize(("verb", "name", "changed"), BACK)
def test_a_change_and_its_way_back(home: Home, verb: str, name: str, changed: dict[str, object]) -> None:
    """What a verb prints as its undo brings the book back to what it said before."""
    before = home.told("accounts", "status", "--no-poll")
    told = home.told("accounts", verb, name)
    assert (told["ok"], told["changed"], told["account"]["key"]) == (True, True, name)
    assert home.listed()[name].items() >= changed.items()
    assert home.run(*told["undo"][1:]).returncode == 0
    assert home.told("accounts", "status", "--no-poll") == before


def test_the_way_back_can_be_copied(home: Home) -> None:
    """The printed undo is one command for a shell, whatever stands in the key."""
    shown = home.run("accounts", "disable", BOB.key).stdout
    line = next(line for line in shown.splitlines() if line.startswith("undo: "))
    assert shlex.split(line.removeprefix("undo: ")) == ["codex-oss", "accounts", "enable", BOB.key]


def test_enable_and_disable(home: Home) -> None:
    """A disabled account is not active; the next one is, and it is said. Twice is once."""
    done = home.run("accounts", "disable", KEY)
    assert "bob@x.y (pro) answers now." in done.stdout
    rows = home.listed()
    assert (rows[KEY]["active"], rows[BOB.key]["active"]) == (False, True)
    assert home.told("accounts", "disable", KEY)["changed"] is False
    assert home.told("accounts", "use", KEY, status=1)["error"] == "account_disabled"
    assert home.told("accounts", "pin", KEY, status=1)["error"] == "account_disabled"
    assert home.told("accounts", "enable", KEY)["changed"] is True
    assert home.listed()[KEY]["enabled"] is True


def test_use_takes_a_pin_away_and_unpin_too(home: Home) -> None:
    """`status` tells what is pinned; `use` of another account stands against it."""
    home.told("accounts", "pin", BOB.key)
    assert home.told("accounts", "status", "--no-poll")["pinned"] == BOB.key
    told = home.told("accounts", "use", KEY)
    assert told["undo"] == ["codex-oss", "accounts", "pin", BOB.key]
    assert home.told("accounts", "status", "--no-poll")["pinned"] is None
    home.told("accounts", "pin", KEY)
    assert home.told("accounts", "unpin")["account"]["key"] == KEY
    assert home.told("accounts", "unpin") == {"ok": True, "verb": "unpin", "changed": False, "account": None}


def test_strategy(home: Home) -> None:
    """Shown, chosen, and given back to the default."""
    assert home.told("accounts", "strategy")["chosen"] is None
    assert home.told("accounts", "strategy", "hybrid")["strategy"] == "hybrid"
    assert home.store.read().strategy == "hybrid"
    assert home.told("accounts", "strategy", "default")["strategy"] == "sticky"
    assert home.run("accounts", "strategy", "luck").returncode == 2


def test_an_email_names_an_account_where_it_is_unique(home: Home) -> None:
    """Otherwise exit 2, nothing is changed, and the keys are listed; a key of an earlier plan still names it."""
    assert home.told("accounts", "disable", "BOB@x.y")["account"]["key"] == BOB.key
    assert home.told("accounts", "enable", "acc2|bob@x.y|free")["account"]["key"] == BOB.key
    before = home.store.path.read_bytes()
    wrong = home.run("accounts", "disable", "ann@x.y")
    assert (wrong.returncode, "account_ambiguous" in wrong.stderr) == (2, True)
    assert ANN.key in wrong.stderr
    assert TEAM.key in wrong.stderr
    for verb in ("use", "pin", "enable", "disable", "remove", "refresh"):
        unknown = home.run("accounts", verb, "nobody@x.y")
        assert (unknown.returncode, "account_unknown" in unknown.stderr) == (2, True), verb
        assert "Traceback" not in unknown.stderr
    assert home.store.path.read_bytes() == before


def test_remove_asks(home: Home) -> None:
    """Without a terminal `--yes` is needed; a dry run removes nothing; the others stay as they are."""
    refused = home.told("accounts", "remove", KEY, stdin="y\n", status=2)
    assert refused["error"] == "confirmation_needed"
    assert home.told("accounts", "remove", KEY, "--dry-run")["dry_run"] is True
    assert KEY in home.listed()
    done = home.run("accounts", "remove", KEY, "--yes")
    assert done.returncode == 0
    assert "bob@x.y (pro) answers now." in done.stdout
    assert list(home.listed()) == [BOB.key, TEAM.key]
    kept = b"".join(path.read_bytes() for path in home.home.rglob("*") if path.is_file())
    assert f"refresh-{CANARY}-acc2".encode() in kept
    assert f"-{CANARY}-acc1".encode() not in kept
    assert home.told("accounts", "remove", "bob@x.y", "--yes")["account"]["key"] == BOB.key


def test_remove_says_what_is_left(home: Home) -> None:
    """A damaged file that was put aside holds the tokens yet: it is named, and that is not done."""
    aside = home.folder / "quarantine" / "codex-accounts.json.5.quarantine.json"
    aside.parent.mkdir(mode=0o700)
    aside.write_bytes(home.store.path.read_bytes())
    told = home.told("accounts", "remove", KEY, "--yes", status=1)
    assert (told["ok"], told["left"]) == (False, [str(aside)])
    assert KEY not in home.listed()


@pytest.mark.parametrize(("answer", "left"), [("n", 3), ("", 3), ("y", 2)])
def test_remove_asks_at_a_terminal(home: Home, answer: str, left: int) -> None:
    """No answer and no are no; yes is yes."""
    status, shown = home.at_terminal("accounts", "remove", KEY, typed=answer)
    assert "Remove ann@x.y (plus)" in shown
    assert (status, len(home.listed())) == (0 if left == 2 else 1, left)


def test_what_holds_an_account_back_is_said(home: Home) -> None:
    """Cooling with its end, a login that is needed, a workspace that refuses."""
    ends_ms = (int(time.time()) + 3600) * 1000
    home.put(
        structs.replace(ANN, cooldown=Cooldown(ends_ms, "usage_limit_reached", believed=True)),
        structs.replace(BOB, dead_generation=1, last_error=(1, "refresh_token_reused")),
        structs.replace(TEAM, workspace=Switch(1, enabled=False, why="deactivated_workspace")),
    )
    rows = home.listed()
    assert (rows[KEY]["reason"], rows[KEY]["cooldown_until"]) == ("cooling_down", ends_ms / 1000)
    assert (rows[BOB.key]["reason"], rows[BOB.key]["needs_login"]) == ("needs_login", True)
    assert rows[TEAM.key]["reason"] == "workspace_unavailable"
    shown = home.run("accounts", "list").stdout
    assert "cooling until" in shown
    assert "needs a login (refresh_token_reused)" in shown
    used = home.run("accounts", "use", BOB.key)
    assert ("as soon as it can" in used.stdout, "codex-oss login" in used.stderr) == (True, True)
    assert "cooling until" in home.run("accounts", "pin", KEY).stderr


OLDER = [
    {
        "openai": {
            "type": "oauth",
            "native": {"accounts": [{"accountId": "acc1", "email": "Ann@x.y", "plan": "plus", "refresh": "rt"}]},
            "codex": {"accounts": [{"accountId": "acc2", "email": "bob@x.y", "plan": "pro", "refresh": "rt2"}]},
        },
        "theirs": 1,
    },
    {
        "openai": {
            "type": "oauth",
            "accounts": [
                {"accountId": "acc1", "email": "ann@x.y", "plan": "plus", "refresh": "rt", "authTypes": ["native"]},
                {"accountId": "acc2", "email": "bob@x.y", "plan": "pro", "refresh": "rt2"},
            ],
        },
        "theirs": 1,
    },
    {
        "accounts": [
            {"accountId": "acc1", "email": "ann@x.y", "plan": "plus", "refreshToken": "rt"},
            {"accountId": "acc2", "email": "bob@x.y", "plan": "pro", "refreshToken": "rt2", "expiresAt": 5},
            {"accountId": "acc9", "email": "gone@x.y", "plan": "pro"},
        ],
        "activeIndex": 0,
        "theirs": 1,
    },
]


@pytest.mark.parametrize("raw", OLDER, ids=["domains", "flat", "older plugin"])
def test_older_forms_are_read_and_kept(tmp_path: Path, raw: dict[str, object]) -> None:
    """`list` reads them as they are; the first change writes our form, with what it does not know."""
    home = Home(tmp_path)
    home.folder.mkdir(parents=True)
    home.store.path.write_text(json.dumps(raw))
    assert list(home.listed()) == [ANN.key, BOB.key]
    assert json.loads(home.store.path.read_text()) == raw
    home.told("accounts", "disable", BOB.key)
    kept = json.loads(home.store.path.read_text())
    assert (kept["schemaVersion"], kept["theirs"]) == (1, 1)
    assert [row["credential"]["refresh"] for row in kept["accounts"]] == ["rt", "rt2"]
    assert stat.S_IMODE(home.store.path.stat().st_mode) == 0o600


def test_a_damaged_file_is_put_aside_and_said(tmp_path: Path) -> None:
    """Exit 1 with the place; the next call finds no account; the newest of them stay."""
    home = Home(tmp_path)
    home.folder.mkdir(parents=True)
    for number in range(KEPT + 2):
        home.store.path.write_text("{" * (number + 1))
        done = home.run("accounts", "list")
        assert (done.returncode, "accounts_corrupt" in done.stderr, "Traceback" in done.stderr) == (1, True, False)
        assert str(home.folder / "quarantine") in done.stderr
    assert home.told("accounts", "list") == {"accounts": []}
    aside = sorted((home.folder / "quarantine").iterdir())
    assert [len(path.read_text()) for path in aside] == [3, 4, 5, 6, 7]


CHANGES = [
    *(("use", BOB.key), ("pin", BOB.key), ("unpin",), ("disable", BOB.key), ("enable", BOB.key)),
    *(("strategy", "hybrid"), ("remove", TEAM.key, "--yes")),
]


def test_unknown_fields_live_through_every_verb(home: Home) -> None:
    """What a later version wrote, of the file and of each account, is there after each verb of this one."""
    for words in CHANGES:
        home.told("accounts", *words)
        raw = json.loads(home.store.path.read_text())
        assert raw["later"] == [1], words
        assert [row["later"] for row in raw["accounts"]] == [
            {"of": row["email"].partition("@")[0]} for row in raw["accounts"]
        ], words
    assert home.store.read() != Book()


VERBS = [
    *(("list",), ("status",), ("status", "--no-poll"), *CHANGES[:-1], ("remove", TEAM.key, "--dry-run"), ("doctor",)),
    *(("refresh", "--all"), ("transfer", "--dry-run"), ("doctor", "--network"), ("remove", TEAM.key)),
    *(("use", "nobody"), ("disable", "ann@x.y"), ("strategy",), ("transfer", "codex-accounts.json", "--yes")),
]


@pytest.mark.parametrize("json_too", [False, True])
def test_no_token_is_ever_printed_or_written_elsewhere(home: Home, json_too: bool) -> None:
    """Every verb, also the ones that fail: neither on stdout nor on stderr, nor in any file but the book."""
    nobody = "http://127.0.0.1:9"
    home.environ = {"CODEX_OSS_OAUTH_ISSUER": nobody, "CODEX_OSS_CHATGPT_BASE_URL": f"{nobody}/backend-api"}
    (home.home / "codex-accounts.json").write_bytes(home.store.path.read_bytes())
    for words in VERBS:
        done = home.run("accounts", *words, *(("--json",) if json_too else ()))
        assert CANARY not in done.stdout + done.stderr, words
    assert CANARY in home.store.path.read_text()
    (home.home / "codex-accounts.json").unlink()
    written = [path for path in home.home.rglob("*") if path.is_file() and path != home.store.path]
    assert written
    assert [path for path in written if CANARY.encode() in path.read_bytes()] == []


def test_hostile_names_do_not_reach_the_terminal(tmp_path: Path) -> None:
    """Escapes, bells and marks that turn the direction of a text stand in an e-mail, a plan and a reason."""
    home, bad = Home(tmp_path), "a\x1b[2J\x07\u202e\x9b@x.y"
    off = Switch(1, enabled=False, why="\x07\u202e")
    home.put(structs.replace(ANN, key=f"acc1|{bad}|plus", email=bad, plan="\x07\u202e", switch=off))
    verbs = [("list",), ("enable", bad), ("use", bad), ("status", "--no-poll"), ("disable", bad), ("use", "nobody")]
    for words in [*verbs, ("doctor",), ("remove", bad, "--dry-run"), ("use", bad)]:
        for flags in ((), ("--json",)):
            done = home.run("accounts", *words, *flags)
            assert not set("\x1b\x07\u202e\x9b") & set(done.stdout + done.stderr), words


@pytest.mark.parametrize("words", [("list",), ("unpin",), ("strategy",), ("status", "--no-poll")], ids=" ".join)
def test_who_only_reads_starts_light(tmp_path: Path, words: tuple[str, ...]) -> None:
    """These verbs bring neither the event loop nor an HTTP client, nor anything of a bridge."""
    heavy = ("asyncio", "aiohttp", "ssl", "starlette", "uvicorn", "mcp", "codex_oss.wiring.bridge", "textual")
    script = (
        "import sys; from codex_oss.cli.main import cli; "
        f"cli(['accounts', *{words!r}, '--json'], standalone_mode=False); "
        f"print(sorted(set({heavy!r}) & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, env={"HOME": str(tmp_path)}
    )
    assert done.stdout.splitlines()[1:] == ["[]"], done.stderr
