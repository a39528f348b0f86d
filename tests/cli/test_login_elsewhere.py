"""Signing in by device code and by pasting, with the real command, against the rude issuer."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import socket
import subprocess
import sys
import termios
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.signing_in import KEY, Person, discreet, parameters, where_back
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


def test_interrupted_while_polling(person: Person) -> None:
    """Ctrl-C ends the device flow with 130 and one sentence."""
    with person.begin("--device", "--no-open") as login:
        login.line()
        login.line()
        login.process.send_signal(signal.SIGINT)
        assert login.end() == 130
    assert login.errors.splitlines()[-1] == "The sign-in was cancelled."


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


def test_pasted_from_a_file(person: Person, tmp_path: Path) -> None:
    """No loop can watch a plain file; it is read all the same, to its end."""
    path = tmp_path / "typed"
    path.write_text("\n\n?state=x&code=y\nno address")
    with path.open() as file:
        done = subprocess.run(
            [sys.executable, "-m", "codex_oss", "login", "--paste", "--no-open"],
            env=person.environ,
            stdin=file,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, "[login_state_mismatch]" in done.stderr) == (1, True)
    assert "That is no address" in done.stderr


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


def test_an_issuer_without_manners(person: Person, rude: RudeIssuer) -> None:
    """No content type on anything, challenges between the polls: the login succeeds all the same."""
    rude.omits_kind = True
    rude.pages.script = ["challenge", "grant"]
    assert person.run("login", "--device", "--no-open").returncode == 0
