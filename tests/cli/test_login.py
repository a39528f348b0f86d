"""Signing in with the real command and a browser, against the rude issuer."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from codex_oss.accounts.changes import switched
from tests.cli.signing_in import KEY, Person, discreet, parameters, visit, where_back
from tests.fakes.issuer import Issuer as RudeIssuer


@pytest.fixture
def rude() -> Iterator[RudeIssuer]:
    """The issuer."""
    with RudeIssuer() as issuer:
        yield issuer


@pytest.fixture
def person(tmp_path: Path, rude: RudeIssuer) -> Iterator[Person]:
    """A person whose tokens are shown to nobody."""
    with discreet(tmp_path, rude) as somebody:
        yield somebody


def test_browser(person: Person, rude: RudeIssuer) -> None:
    """stdout is the address and then the key; the book holds the account, for its owner alone, and it is active."""
    with person.begin("--browser", "--no-open", "--port", "0") as login:
        url = login.line()
        assert url.startswith(f"{rude.url}/oauth/authorize?response_type=code&client_id=app_")
        status, text, headers = visit(url)
        assert (status, "Signed in" in text) == (200, True)
        assert headers["cache-control"] == "no-store"
        assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
        assert login.end() == 0, login.errors
    assert login.lines == [url, KEY]
    (account,) = person.book().accounts
    assert (account.key, account.user_id, account.needs_login) == (KEY, "user-ann@x.y", False)
    assert person.book().active.person == account.person_key
    assert stat.S_IMODE(person.store.path.stat().st_mode) == 0o600
    (form,) = rude.exchanges
    assert form["redirect_uri"] == parameters(url)["redirect_uri"]
    assert (len(form["code_verifier"]), len(parameters(url)["state"])) == (86, 43)


def test_a_wrong_state_changes_nothing_and_the_right_one_wins(person: Person, rude: RudeIssuer) -> None:
    """An error page with 400, said on stderr; the login goes on waiting, and its code was not spent."""
    rude.pages.visits = ["wrong_state", "grant"]
    with person.begin("--browser", "--no-open", "--port", "0") as login:
        url = login.line()
        assert visit(url)[0] == 400
        back = parameters(url)["redirect_uri"]
        assert visit(back)[0] == 400
        assert visit(f"{back}?code=c&state={'y' * 43}&state={parameters(url)['state']}")[0] == 400
        assert login.process.poll() is None
        assert visit(url)[0] == 200
        assert login.end() == 0
    assert "wrong state" in login.errors
    assert (len(rude.exchanges), login.lines[-1]) == (1, KEY)


def test_denied_in_the_browser(person: Person, rude: RudeIssuer) -> None:
    """The words of the issuer are escaped on the page and clean on the terminal; nothing is stored, exit 1."""
    rude.pages.visits = ["deny"]
    with person.begin("--browser", "--no-open", "--port", "0") as login:
        status, text, _ = visit(login.line())
        assert (status, "&lt;b&gt;The user said no" in text, "<b>" in text) == (200, True, False)
        assert login.end() == 1
    assert "[login_denied]" in login.errors
    assert "Traceback" not in login.errors
    assert len(login.lines) == 1
    assert not person.store.path.exists()


@pytest.mark.parametrize(
    ("visits", "trouble", "status", "code"),
    [
        (["fail"], [], 200, "login_refused"),
        (["no_code"], [], 400, "login_refused"),
        ([], [(403, "text/html", b"<html>Just a moment")], 500, "login_refused"),
        ([], [(500, "", b"")], 500, "issuer_unavailable"),
        ([], [(400, "application/json", b'{"error": "invalid_grant"}')], 500, "login_refused"),
        ([], [(200, "text/html", b"<html>")], 500, "login_refused"),
        ([], [(302, "text/html", b"")], 500, "issuer_unavailable"),
        ([], [(200, "application/json", b'{"access_token": "opaque"}')], 500, "login_unidentified"),
    ],
)
def test_what_goes_wrong_is_said(
    person: Person, rude: RudeIssuer, visits: list[str], trouble: list[tuple[int, str, bytes]], status: int, code: str
) -> None:
    """Each with its code and a hint, an error page in the browser, and exit 1."""
    rude.pages.visits, rude.trouble = visits, [*trouble]
    with person.begin("--browser", "--no-open", "--port", "0") as login:
        assert visit(login.line())[0] == status
        assert login.end() == 1
    assert f"[{code}]" in login.errors
    assert "hint: " in login.errors
    assert person.book().accounts == ()


def test_cancel(person: Person) -> None:
    """/cancel needs the state; then the login ends, with its code."""
    with person.begin("--browser", "--no-open", "--port", "0") as login:
        told = parameters(login.line())
        base = told["redirect_uri"].removesuffix("/auth/callback")
        assert visit(f"{base}/cancel")[0] == 400
        assert visit(f"{base}/cancel?state=x")[0] == 400
        assert login.process.poll() is None
        assert visit(f"{base}/cancel?state={told['state']}")[0] == 200
        assert login.end() == 1
    assert "[login_cancelled]" in login.errors


def test_interrupted(person: Person) -> None:
    """Ctrl-C ends it cleanly with 130, and the port is free."""
    with person.begin("--browser", "--no-open", "--port", "0") as login:
        port = int(parameters(login.line())["redirect_uri"].split(":")[2].partition("/")[0])
        login.process.send_signal(signal.SIGINT)
        assert login.end() == 130
    assert "Traceback" not in login.errors
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_killed_while_waiting(person: Person) -> None:
    """Nothing is left: no file but none, no listener; the next login works on the same port."""
    with person.begin("--browser", "--no-open", "--port", "0") as login:
        port = parameters(login.line())["redirect_uri"].split(":")[2].partition("/")[0]
        login.process.kill()
        assert login.end() == -9
    assert not person.store.folder.exists() or list(person.store.folder.iterdir()) == []
    with person.begin("--browser", "--no-open", "--port", port) as login:
        assert visit(login.line())[0] == 200
        assert login.end() == 0


@pytest.mark.parametrize("after_s", [0.0, 0.03, 0.06, 0.1, 0.15])
def test_killed_while_redeeming(person: Person, rude: RudeIssuer, after_s: float) -> None:
    """The account is stored whole or not at all, and the next login works."""
    rude.slow_s = 0.03
    with person.begin("--browser", "--no-open", "--port", "0") as login:
        back = where_back(login.line())
        browser = threading.Thread(target=lambda: suppressed_visit(back), daemon=True)
        browser.start()
        time.sleep(after_s)
        login.process.kill()
        browser.join(30)
    assert len(person.book().accounts) <= 1
    assert not (person.store.folder / "quarantine").exists()
    rude.pages.script = ["grant"]
    assert person.run("login", "--device").returncode == 0
    assert [account.key for account in person.book().accounts] == [KEY]


def suppressed_visit(url: str) -> None:
    """Open a page of somebody who may be gone."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        visit(url)


def test_a_busy_port_is_named_with_its_owner(person: Person, tmp_path: Path) -> None:
    """The program that holds it, by name and process id; nothing is shown on stdout, exit 1."""
    script = "import socket,sys; s=socket.create_server(('127.0.0.1',0)); print(s.getsockname()[1],flush=True); input()"
    other = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with other:
        assert other.stdout is not None
        port = other.stdout.readline().strip()
        done = person.run("login", "--browser", "--no-open", "--port", port)
        other.kill()
    assert (done.returncode, done.stdout) == (1, "")
    assert "[login_port_busy]" in done.stderr
    assert f"port {port} is held by " in done.stderr
    assert f"(pid {other.pid})" in done.stderr
    assert "--device" in done.stderr


def test_two_logins_at_once(person: Person, rude: RudeIssuer) -> None:
    """Two processes, two ports, two people: both are stored, and neither disturbs the other."""
    with (
        person.begin("--browser", "--no-open", "--port", "0") as one,
        person.begin("--browser", "--no-open", "--port", "0") as two,
    ):
        first, second = one.line(), two.line()
        rude.pages.person = ("bob@x.y", "acc2", "team")
        assert visit(second)[0] == 200
        assert two.end() == 0, two.errors
        rude.pages.person = ("ann@x.y", "acc1", "plus")
        assert visit(first)[0] == 200
        assert one.end() == 0, one.errors
    assert {account.key for account in person.book().accounts} == {KEY, "acc2|bob@x.y|team"}


def test_our_own_on_the_port_is_named(person: Person) -> None:
    """A sign-in that waits for its person stays, and the other one says so."""
    with person.begin("--browser", "--no-open", "--port", "0") as login:
        url = login.line()
        port = parameters(url)["redirect_uri"].split(":")[2].partition("/")[0]
        done = person.run("login", "--browser", "--no-open", "--port", port)
        assert f"another codex-oss (pid {login.process.pid})" in done.stderr
        assert visit(url)[0] == 200
        assert login.end() == 0


def test_the_browser_is_opened(person: Person, tmp_path: Path) -> None:
    """Where there is a screen that is the default; the address is one argument, and stdout has the key alone."""
    browser = tmp_path / "xdg-open"
    browser.write_text(f"#!{sys.executable}\nimport sys, urllib.request\nurllib.request.urlopen(sys.argv[1])\n")
    browser.chmod(0o755)
    del person.environ["CODEX_OSS_NO_BROWSER"]
    person.environ |= {"DISPLAY": ":0", "PATH": f"{tmp_path}{os.pathsep}{person.environ['PATH']}"}
    done = person.run("login", "--port", "0")
    assert (done.returncode, done.stdout) == (0, f"{KEY}\n"), done.stderr
    assert "/oauth/authorize?" in done.stderr


def test_a_clock_that_is_off_is_said(person: Person, rude: RudeIssuer) -> None:
    """The account is stored and can be used: its end counts by our clock."""
    rude.clock_ahead_s = 7200
    rude.pages.script = ["grant"]
    done = person.run("login", "--device", "--no-open")
    assert done.returncode == 0
    assert "120 minutes behind" in done.stderr
    (account,) = person.book().accounts
    assert account.fresh(int(time.time() * 1000))


def test_signing_in_again_keeps_one_account(person: Person, rude: RudeIssuer) -> None:
    """A new plan changes the key and nothing else; a disabled account is enabled by its login."""

    for _ in range(2):
        rude.pages.script = ["grant"]
        done = person.run("login", "--device")
        assert done.stdout == f"{KEY}\n", done.stderr
    (before,) = person.book().accounts
    person.store.change(lambda book: switched(book, before.person_key, int(time.time() * 1000), enabled=False))
    rude.pages.person, rude.pages.script = ("ann@x.y", "acc1", "pro"), ["grant"]
    assert person.run("login", "--device").stdout == "acc1|ann@x.y|pro\n"
    (after,) = person.book().accounts
    assert (after.switch.enabled, after.added_ms) == (True, before.added_ms)
    assert after.credential.generation == before.credential.generation + 1


@pytest.mark.parametrize(
    "words",
    [
        ["--browser", "--device"],
        ["--device", "--port", "1455"],
        ["--port", "70000"],
        ["--import", "x", "--device"],
        ["--import", "/nowhere/auth.json"],
        ["--nonsense"],
    ],
)
def test_asked_wrongly(person: Person, words: list[str]) -> None:
    """Exit 2 and a sentence, nothing on stdout."""
    done = person.run("login", *words)
    assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (2, "", False)


def test_an_issuer_elsewhere_is_refused(person: Person) -> None:
    """The override is for this machine only."""
    person.environ["CODEX_OSS_OAUTH_ISSUER"] = "https://evil.example"
    done = person.run("login", "--device")
    assert (done.returncode, "[config_invalid]" in done.stderr) == (2, True)
