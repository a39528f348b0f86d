"""Signing out and bringing in, with the real command and real files."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from codex_oss.accounts.book import signed_in
from codex_oss.accounts.oauth import Tokens
from codex_oss.accounts.sign_in import login_of
from tests.cli.signing_in import Person
from tests.fakes.issuer import access_token

ANN, BOB = "acc1|ann@x.y|plus", "acc2|bob@x.y|plus"


def tokens_of(email: str, account: str, number: int = 1, ends_in_s: float = 3600) -> dict[str, str]:
    """What the issuer gave somebody, in the words of the Codex CLI."""
    access = access_token(email, account, "plus", number, time.time() - 864_000 + ends_in_s)
    return {"access_token": access, "refresh_token": f"rt-of-{email}-{number}", "id_token": access}


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    """Somebody who was never shown a token."""
    somebody = Person(tmp_path, "http://127.0.0.1:1")
    yield somebody
    assert "rt-of-" not in "".join(somebody.seen)
    assert "e30." not in "".join(somebody.seen)


def sign_in(person: Person, email: str, account: str) -> None:
    """A login, long ago."""
    told = tokens_of(email, account)
    login = login_of(Tokens(told["access_token"], told["refresh_token"]), int(time.time() * 1000))
    assert login is not None
    person.store.change(lambda book: signed_in(book, login)[0])


@pytest.fixture
def two(person: Person) -> Person:
    """Ann, and Bob who is the active one."""
    sign_in(person, "ann@x.y", "acc1")
    sign_in(person, "bob@x.y", "acc2")
    return person


def left(person: Person) -> bytes:
    """Every byte below the accounts folder."""
    return b"".join(path.read_bytes() for path in person.store.folder.rglob("*") if path.is_file())


def keys(person: Person) -> list[str]:
    """Who is signed in."""
    return [account.key for account in person.book().accounts]


def test_the_active_account(two: Person) -> None:
    """Its tokens are gone from disk, said so; the other one stays and is the active one now."""
    done = two.run("logout", "--yes")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "Signed out: bob@x.y (plus).")
    assert "no token of it is left" in done.stdout
    assert keys(two) == [ANN]
    assert two.book().active.person == "ann@x.y|acc1"
    assert b"bob@x.y-1" not in left(two)
    assert b"ann@x.y-1" in left(two)


@pytest.mark.parametrize("name", [ANN, "ann@x.y", "ANN@x.y", "acc1|ann@x.y|team"])
def test_an_account_by_name(two: Person, name: str) -> None:
    """By its key, by an e-mail, by a key of an earlier plan; --json says what came of it."""
    done = two.run("logout", name, "--yes", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"ok": True, "signed_out": [ANN], "left": []})
    assert keys(two) == [BOB]


def test_all(two: Person) -> None:
    """Nobody is left, nor what was remembered, nor tokens in what was put aside; a second time there is nothing."""
    cache, aside = two.store.folder / "cache", two.store.folder / "quarantine"
    for folder in (cache, aside):
        folder.mkdir()
    (cache / "codex-quotas.json").write_text('{"bob@x.y|acc2": {}}')
    (aside / "codex-accounts.json.1.quarantine.json").write_text('{"refresh": "rt-of-bob@x.y-1"')
    assert two.run("logout", "--all", "--yes").returncode == 0
    assert keys(two) == []
    assert b"bob" not in left(two)
    again = two.run("logout", "--all", "--yes")
    assert (again.returncode, again.stdout) == (0, "No account is signed in.\n")
    assert two.run("logout").returncode == 0


def test_a_copy_that_was_put_aside_is_told(two: Person) -> None:
    """It may hold other accounts, too, so it stays: exit 1 and its path."""
    aside = two.store.folder / "quarantine"
    aside.mkdir()
    copy = aside / "codex-accounts.json.1.quarantine.json"
    copy.write_text('{"refresh": "rt-of-bob@x.y-1", "other": "rt"')
    done = two.run("logout", "--yes")
    assert (done.returncode, str(copy) in done.stderr, copy.exists()) == (1, True, True)
    assert "no token of it is left" not in done.stdout
    assert keys(two) == [ANN]


def test_nobody_to_ask(two: Person) -> None:
    """Without a terminal and without --yes nothing happens: exit 2, with the hint."""
    for words in (["logout"], ["logout", "--all"], ["logout", "ann@x.y"]):
        done = two.run(*words, given="y\n")
        assert (done.returncode, done.stdout) == (2, "")
        assert "[confirmation_needed]" in done.stderr
        assert "--yes" in done.stderr
    assert keys(two) == [ANN, BOB]


@pytest.mark.parametrize(("answer", "status", "count"), [(b"y\n", 0, 1), (b"n\n", 1, 2), (b"\n", 1, 2)])
def test_a_person_is_asked(two: Person, answer: bytes, status: int, count: int) -> None:
    """At a terminal; no is the default, and changes nothing."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "codex_oss", "logout"], env=two.environ, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    os.write(ours, answer)
    shown = b""
    try:
        while data := os.read(ours, 4096):
            shown += data
    except OSError:
        pass  # the other end is gone
    os.close(ours)
    assert process.wait(30) == status
    assert b"Sign out bob@x.y (plus)?" in shown
    assert len(keys(two)) == count


def test_unclear_names(two: Person) -> None:
    """Unknown, or two at once: exit 2 and what to say instead; nothing changes."""
    sign_in(two, "ann@x.y", "acc3")
    unknown = two.run("logout", "carl@x.y", "--yes")
    assert (unknown.returncode, "[account_unknown]" in unknown.stderr) == (2, True)
    several = two.run("logout", "ann@x.y", "--yes")
    assert (several.returncode, "[account_ambiguous]" in several.stderr) == (2, True)
    assert ANN in several.stderr
    assert "acc3|ann@x.y|plus" in several.stderr
    assert two.run("logout", "ann@x.y", "--all", "--yes").returncode == 2
    assert len(keys(two)) == 3


def codex_file(folder: Path, **tokens: str) -> Path:
    """An auth.json of the Codex CLI."""
    path = folder / "auth.json"
    path.write_text(json.dumps({"OPENAI_API_KEY": None, "tokens": tokens, "last_refresh": "2026-11-01T00:00:00Z"}))
    return path


def test_import_of_a_codex_login(person: Person, tmp_path: Path) -> None:
    """Warned, asked, and brought in; the file is as it was. Without --yes and a terminal nothing happens."""
    path = codex_file(tmp_path, **tokens_of("ann@x.y", "acc1"), account_id="acc1")
    before = path.read_bytes()
    refused = person.run("login", "--import", str(path))
    assert (refused.returncode, "[confirmation_needed]" in refused.stderr) == (2, True)
    assert keys(person) == []
    done = person.run("login", "--import", str(path), "--yes")
    assert (done.returncode, done.stdout) == (0, f"{ANN}\n")
    assert "signs the other one out" in " ".join(done.stderr.split())
    (account,) = person.book().accounts
    assert account.fresh(int(time.time() * 1000))
    assert account.credential.refresh == "rt-of-ann@x.y-1"
    assert path.read_bytes() == before


def test_import_of_an_opencode_login(person: Person, tmp_path: Path) -> None:
    """Its expiry is the one in the file."""
    told = tokens_of("bob@x.y", "acc2")
    ends_ms = int(time.time() * 1000) + 100_000
    ours = {"type": "oauth", "refresh": told["refresh_token"], "access": told["access_token"], "expires": ends_ms}
    path = tmp_path / "auth.json"
    path.write_text(json.dumps({"openai": ours, "anthropic": {"type": "api", "key": "x"}}))
    done = person.run("login", "--import", str(path), "--yes")
    assert (done.returncode, done.stdout) == (0, f"{BOB}\n")
    assert person.book().accounts[0].credential.expires_ms == ends_ms


def test_an_import_does_not_replace_what_is_better(person: Person, tmp_path: Path) -> None:
    """The account that is stored and lasts longer stays, said so."""
    newer = codex_file(tmp_path, **tokens_of("ann@x.y", "acc1", 2, ends_in_s=7200))
    person.run("login", "--import", str(newer), "--yes")
    older = codex_file(tmp_path, **tokens_of("ann@x.y", "acc1", 3, ends_in_s=600))
    done = person.run("login", "--import", str(older), "--yes")
    assert (done.returncode, done.stdout, "Kept as it is" in done.stderr) == (0, f"{ANN}\n", True)
    assert person.book().accounts[0].credential.refresh.endswith("-2")


def test_nothing_is_imported_by_itself(person: Person, tmp_path: Path) -> None:
    """Files of other programs lie where they always lie, and no verb touches them."""
    for place in (".codex", ".local/share/opencode"):
        (tmp_path / place).mkdir(parents=True)
        codex_file(tmp_path / place, **tokens_of("ann@x.y", "acc1"))
    person.run("logout", "--all", "--yes")
    assert person.run("login", "--device").returncode == 1
    assert keys(person) == []


@pytest.mark.parametrize(
    "data", ["", "{}", '{"OPENAI_API_KEY": "sk-of-ann"}', '{"openai": {"type": "api", "key": "k"}}']
)
def test_files_without_a_login(person: Person, tmp_path: Path, data: str) -> None:
    """Exit 2, why, and no word of the file."""
    path = tmp_path / "auth.json"
    path.write_text(data)
    done = person.run("login", "--import", str(path), "--yes")
    assert (done.returncode, done.stdout, "[import_unknown]" in done.stderr) == (2, "", True)
    assert "sk-of-ann" not in done.stderr
