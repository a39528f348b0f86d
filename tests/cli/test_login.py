"""Signing in with the real command, in all three ways, against the rude issuer."""

from __future__ import annotations

import fcntl
import os
import pty
import socket
import stat
import subprocess
import sys
import termios
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.signing_in import Person, parameters, visit, where_back
from tests.fakes.issuer import Issuer as RudeIssuer

KEY = "acc1|ann@x.y|plus"


@pytest.fixture
def rude() -> Iterator[RudeIssuer]:
    """The issuer."""
    with RudeIssuer() as issuer:
        yield issuer


@pytest.fixture
def person(tmp_path: Path, rude: RudeIssuer) -> Iterator[Person]:
    """A person whose tokens were shown to nobody, whatever happened."""
    somebody = Person(tmp_path, rude.url)
    yield somebody
    shown = "\n".join(somebody.seen)
    for account in somebody.book().accounts:
        for token in (account.credential.access, account.credential.refresh):
            assert token
            assert token not in shown
    for form in rude.exchanges:
        assert form["code_verifier"] not in shown


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
    import signal

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


def test_device(person: Person, rude: RudeIssuer) -> None:
    """stdout is address, code, key, one line each; "not yet" in all its forms is waited out."""
    rude.pages.script = ["pending", "pending_403", "pending_404"]
    with person.begin("--device", "--no-open") as login:
        url, code = login.line(), login.line()
        assert (url, code) == (f"{rude.url}/codex/device", "ABCD-12345")
        urllib.request.urlopen(url, b"user_code=ABCD-12345", timeout=30).close()
        rude.pages.script = rude.pages.script[:1]
        assert login.end() == 0, login.errors
    assert login.lines == [url, code, KEY]
    assert rude.exchanges[0]["redirect_uri"] == f"{rude.url}/deviceauth/callback"


def test_without_a_screen_the_device_flow_is_the_default(person: Person, rude: RudeIssuer) -> None:
    """Said why, with the other ways; no browser is opened."""
    rude.pages.script = ["grant"]
    done = person.run("login")
    assert (done.returncode, done.stdout) == (0, f"{KEY}\n")
    assert "there is no screen" in done.stderr
    assert "ABCD-12345" in done.stderr


@pytest.mark.parametrize(
    ("script", "code"), [("denied", "login_denied"), ("expired", "login_expired"), ("odd", "login_refused")]
)
def test_the_device_flow_ends_when_the_issuer_says_so(person: Person, rude: RudeIssuer, script: str, code: str) -> None:
    """Denied, expired or refused: with its code, exit 1."""
    rude.pages.script = [script]
    done = person.run("login", "--device", "--no-open")
    assert (done.returncode, len(done.stdout.splitlines())) == (1, 2)
    assert f"[{code}]" in done.stderr


def test_nobody_types_the_code(person: Person) -> None:
    """It ends by itself, with its code and exit 1."""
    person.environ["CODEX_DEVICE_AUTH_TIMEOUT_MS"] = "1000"
    done = person.run("login", "--device", "--no-open")
    assert (done.returncode, "[login_expired]" in done.stderr) == (1, True)


def test_no_device_flow_there(person: Person, rude: RudeIssuer) -> None:
    """The other ways are named."""
    rude.pages.device_off = True
    done = person.run("login", "--device", "--no-open")
    assert (done.returncode, done.stdout) == (1, "")
    assert "[login_device_off]" in done.stderr
    assert "--paste" in done.stderr


def test_paste(person: Person, rude: RudeIssuer) -> None:
    """The address that the browser ended at, after texts that are none; nothing listens meanwhile."""
    with person.begin("--paste", "--no-open") as login:
        url = login.line()
        assert parameters(url)["redirect_uri"] == "http://localhost:1455/auth/callback"
        login.type("what is this?")
        login.type(url)
        login.type("")
        login.type(where_back(url).replace("state=", "state=x"))
        login.type(f" <{where_back(url)}> ")
        assert login.end() == 0, login.errors
    assert login.lines == [url, KEY]
    assert "That is no address" in login.errors
    assert "belongs to another sign-in" in login.errors


def test_paste_of_the_code_alone(person: Person, rude: RudeIssuer) -> None:
    """Its state is not there to check; the PKCE verifier is, at the issuer."""
    with person.begin("--paste", "--no-open") as login:
        login.type(parameters(where_back(login.line()))["code"])
        assert login.end() == 0, login.errors
    with person.begin("--paste", "--no-open") as login:
        url = login.line()
        rude.pages.codes["ac_foreign"] = (("mallory@x.y", "acc9", "plus"), parameters(url)["redirect_uri"], "other")
        login.type("ac_foreign")
        assert login.end() == 1
    assert "[login_refused]" in login.errors
    assert [account.key for account in person.book().accounts] == [KEY]


@pytest.mark.parametrize(("given", "code"), [("", "login_cancelled"), ("?state=x&code=y\n", "login_state_mismatch")])
def test_nothing_pasted(person: Person, given: str, code: str) -> None:
    """The end of the input ends the login, and says whether something came for another one."""
    done = person.run("login", "--paste", "--no-open", given=given)
    assert (done.returncode, len(done.stdout.splitlines())) == (1, 1)
    assert f"[{code}]" in done.stderr


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


def test_pasted_at_the_terminal(person: Person) -> None:
    """While the listener waits, the address may be typed; what is no address is complained of."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "codex_oss", "login", "--browser", "--port", "0"],
        env=person.environ,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    shown = ""
    try:
        while "paste the address it ends at" not in shown:
            shown += os.read(ours, 4096).decode()
        url = next(word for word in shown.split() if "/oauth/authorize?" in word)
        os.write(ours, b"hello\n" + where_back(url).encode() + b"\n")
        while data := os.read(ours, 4096):
            shown += data.decode()
    except OSError:
        pass  # the other end is gone
    finally:
        os.close(ours)
    assert process.wait(30) == 0, shown
    assert "That is no address" in shown
    assert shown.splitlines()[-1] == KEY


def test_no_issuer(person: Person) -> None:
    """Nothing answers there: said so, with what may be wrong, in every way that asks it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    person.environ["CODEX_OSS_OAUTH_ISSUER"] = f"http://127.0.0.1:{port}"
    device = person.run("login", "--device", "--no-open")
    paste = person.run("login", "--paste", "--no-open", given="some_code_or_other\n")
    for done in (device, paste):
        assert done.returncode == 1
        assert "[issuer_unavailable]" in done.stderr
        assert "clock" in done.stderr


def test_a_clock_that_is_off_is_said(person: Person, rude: RudeIssuer) -> None:
    """The account is stored and can be used: its end counts by our clock."""
    rude.clock_ahead_s = 7200
    rude.pages.script = ["grant"]
    done = person.run("login", "--device", "--no-open")
    assert done.returncode == 0
    assert "120 minutes behind" in done.stderr
    (account,) = person.book().accounts
    assert account.fresh(int(time.time() * 1000))


def test_an_issuer_without_manners(person: Person, rude: RudeIssuer) -> None:
    """No content type on anything, challenges between the polls: the login succeeds all the same."""
    rude.omits_kind = True
    rude.pages.script = ["challenge", "grant"]
    assert person.run("login", "--device", "--no-open").returncode == 0


def test_signing_in_again_keeps_one_account(person: Person, rude: RudeIssuer) -> None:
    """A new plan changes the key and nothing else; a disabled account is enabled by its login."""
    from codex_oss.accounts.changes import switched

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
