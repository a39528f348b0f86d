"""`codex-oss accounts transfer`: what it finds, what it takes over, and that it never does so by itself."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.account_home import ANN, BOB, Home, account
from tests.fakes.issuer import access_token

FAR_MS = int(time.time() * 1000) + 10 * 24 * 3600 * 1000


def codex_file(email: str, account_id: str, refresh: str) -> dict[str, Any]:
    """What the Codex CLI keeps."""
    access = access_token(email, account_id, "plus", 1)
    return {"tokens": {"id_token": access, "access_token": access, "refresh_token": refresh, "account_id": account_id}}


def opencode_file(email: str, account_id: str, refresh: str) -> dict[str, Any]:
    """What OpenCode keeps."""
    access = access_token(email, account_id, "pro", 2)
    return {"openai": {"type": "oauth", "access": access, "refresh": refresh, "expires": FAR_MS}}


PLUGIN = {
    "openai": {
        "type": "oauth",
        "accounts": [
            {"accountId": "acc3", "email": "cid@x.y", "plan": "team", "refresh": "rt-plugin-canary", "expires": FAR_MS}
        ],
    }
}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A user of other programs, who never signed in here."""
    made = Home(tmp_path)
    for place, raw in (
        (".codex/auth.json", codex_file("ann@x.y", "acc1", "rt-codex-canary")),
        (".local/share/opencode/auth.json", opencode_file("bob@x.y", "acc2", "rt-opencode-canary")),
        (".config/opencode/codex-accounts.json", PLUGIN),
        (".config/opencode/openai-codex-accounts.json", "{broken"),
    ):
        path = made.home / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(raw if isinstance(raw, str) else json.dumps(raw))
    return made


def others(home: Home) -> dict[str, bytes]:
    """Every file that is not ours."""
    return {str(path): path.read_bytes() for path in home.home.rglob("*.json") if home.folder not in path.parents}


def test_nothing_is_taken_over_by_itself(home: Home) -> None:
    """A list of nobody names the verb; nothing is read into the book until somebody says yes."""
    shown = home.run("accounts", "list")
    assert "codex-oss accounts transfer" in shown.stderr
    assert home.told("accounts", "list") == {"accounts": []}
    assert not home.folder.exists()
    assert home.told("accounts", "transfer", status=2)["error"] == "confirmation_needed"
    status, asked = home.at_terminal("accounts", "transfer", typed="n")
    assert (status, "signs the other one out" in asked) == (1, True)
    assert not home.store.path.exists()


def test_a_rehearsal_counts_and_changes_nothing(home: Home) -> None:
    """The same counts as the real one, which stands behind it."""
    before = others(home)
    told = home.told("accounts", "transfer", "--dry-run")
    assert (told["imported"], told["kept"], told["sources_used"], told["dry_run"]) == (3, 0, 3, True)
    assert not home.folder.exists()
    again = home.told("accounts", "transfer", "--yes")
    assert {**again, "dry_run": True} == told
    assert others(home) == before


def test_each_source_and_a_broken_one(home: Home) -> None:
    """Three programs, four files; the broken one is named and stops nothing; no token is shown."""
    done = home.run("accounts", "transfer", "--yes")
    assert done.returncode == 0
    assert "openai-codex-accounts.json" in done.stderr
    assert "import_unknown" in done.stderr
    assert "signs the other one out" in done.stderr
    assert done.stdout == "3 accounts taken over from 3 files.\n"
    assert "canary" not in done.stdout + done.stderr
    rows = home.listed()
    assert set(rows) == {"acc1|ann@x.y|plus", "acc2|bob@x.y|pro", "acc3|cid@x.y|team"}
    assert sum(row["active"] for row in rows.values()) == 1
    held = {one.account_id: one.credential.refresh for one in home.store.read().accounts}
    assert held == {"acc1": "rt-codex-canary", "acc2": "rt-opencode-canary", "acc3": "rt-plugin-canary"}


def test_twice_is_once(home: Home) -> None:
    """The same tokens again are kept, not doubled; the generation does not move."""
    home.told("accounts", "transfer", "--yes")
    before = home.store.path.read_bytes()
    told = home.told("accounts", "transfer", "--yes")
    assert (told["imported"], told["kept"]) == (0, 3)
    assert home.store.path.read_bytes() == before


def test_what_is_known_better_stays(home: Home) -> None:
    """An account here that can be used and lasts longer keeps its credential; unknown fields stay too."""
    home.put(ANN, account("zoe", "acc9", "plus"))
    told = home.told("accounts", "transfer", "--yes")
    assert (told["imported"], told["kept"]) == (2, 1)
    known = home.store.read().get(ANN.person_key)
    assert known is not None
    assert (known.credential, known.extra) == (ANN.credential, ANN.extra)


def test_an_empty_book_gets_no_hint(home: Home) -> None:
    """It says that there is nobody, and that is how the person wants it."""
    home.put(BOB)
    home.told("accounts", "remove", BOB.key, "--yes")
    assert home.run("accounts", "list").stderr == ""


def test_named_files(home: Home) -> None:
    """Only those; a missing one is said; nothing at all is exit 1."""
    only = str(home.home / ".codex" / "auth.json")
    told = home.told("accounts", "transfer", only, str(home.home / "none.json"), "--yes")
    assert [row["error"] for row in told["sources"]] == [None, "import_unreadable"]
    assert list(home.listed()) == ["acc1|ann@x.y|plus"]
    assert home.told("accounts", "transfer", str(home.home / "none.json"), "--yes", status=1)["ok"] is False


def test_other_places(tmp_path: Path) -> None:
    """CODEX_HOME and the XDG folders are looked at, each file once, relative ones not at all."""
    home = Home(tmp_path)
    moved = home.home / "moved"
    for place in ("codex/auth.json", "data/opencode/auth.json"):
        path = moved / place
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(codex_file(f"{path.parent.name}@x.y", "acc1", f"rt-{path.parent.name}")))
    (home.home / ".local" / "share").mkdir(parents=True)
    (home.home / ".local" / "share" / "opencode").symlink_to(moved / "data" / "opencode")
    home.environ = {"CODEX_HOME": str(moved / "codex"), "XDG_DATA_HOME": str(moved / "data")}
    told = home.told("accounts", "transfer", "--dry-run")
    assert [row["accounts"] for row in told["sources"]] == [["acc1|codex@x.y|plus"], ["acc1|opencode@x.y|plus"]]
    home.environ = {"CODEX_HOME": "moved/codex", "XDG_DATA_HOME": "moved/data"}
    told = home.told("accounts", "transfer", "--dry-run")
    assert [row["accounts"] for row in told["sources"]] == [["acc1|opencode@x.y|plus"]]
