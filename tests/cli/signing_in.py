"""A `codex-oss login` as a process, and the browser of its person."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from codex_oss.accounts.book import Book
from codex_oss.services.account_store import AccountStore, accounts_folder
from tests.fakes.issuer import Issuer

KEY = "acc1|ann@x.y|plus"
"""Of the person that the rude issuer signs in."""
NOWHERE = ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY", "XDG_CONFIG_HOME", "BROWSER")


class Person:
    """Somebody with a home and an issuer; every line that any program showed them is kept."""

    def __init__(self, home: Path, issuer: str) -> None:
        self.environ = {name: value for name, value in os.environ.items() if name not in NOWHERE}
        self.environ |= {"HOME": str(home), "CODEX_OSS_OAUTH_ISSUER": issuer, "CODEX_OSS_NO_BROWSER": "1"}
        folder = accounts_folder(self.environ)
        assert folder is not None
        self.store = AccountStore(folder)
        self.seen: list[str] = []

    def book(self) -> Book:
        """What is stored."""
        return self.store.read()

    def run(self, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """A command to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "codex_oss", *words],
            env=self.environ,
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.seen += [done.stdout, done.stderr]
        return done

    def begin(self, *words: str) -> Login:
        """A login that waits for its person."""
        return Login(self, words)


class Login:
    """A running `codex-oss login`. Use as a context manager: it never stays behind."""

    def __init__(self, person: Person, words: tuple[str, ...]) -> None:
        self._person = person
        self.process = subprocess.Popen(
            [sys.executable, "-m", "codex_oss", "login", *words],
            env=person.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._errors: list[str] = []
        self._reader = threading.Thread(target=self._read_errors, daemon=True)
        self._reader.start()

    def __enter__(self) -> Login:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.end()

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._errors.append(line)

    def line(self) -> str:
        """The next line of stdout."""
        assert self.process.stdout is not None
        self.lines.append(self.process.stdout.readline().rstrip("\n"))
        return self.lines[-1]

    def type(self, text: str) -> None:
        """Type a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def end(self) -> int:
        """Wait for the end; its exit status. Afterwards `lines` and `errors` are whole."""
        if self.process.stdout is not None and not self.process.stdout.closed:
            self.lines += self.process.stdout.read().splitlines()
            self.process.stdout.close()
            code = self.process.wait(60)
            self._reader.join(10)
            for stream in (self.process.stdin, self.process.stderr):
                if stream is not None:
                    stream.close()
            self._person.seen += [*self.lines, self.errors]
        else:
            code = self.process.wait(60)
        return code

    @property
    def errors(self) -> str:
        """Everything on stderr so far."""
        return "".join(self._errors)


@contextlib.contextmanager
def discreet(home: Path, rude: Issuer) -> Iterator[Person]:
    """A person; at the end no line and no file but the store may hold a token or a verifier."""
    somebody = Person(home, rude.url)
    yield somebody
    kept = [path for path in home.rglob("*") if path.is_file() and path != somebody.store.path]
    shown = "\n".join([*somebody.seen, *(path.read_text(errors="replace") for path in kept)])
    for account in somebody.book().accounts:
        for token in (account.credential.access, account.credential.refresh):
            assert token
            assert token not in shown
    for form in rude.exchanges:
        assert form["code_verifier"] not in shown


def visit(url: str) -> tuple[int, str, Any]:
    """Open an address as a browser does, redirects and all: status, text and headers of the last page."""
    try:
        with urllib.request.urlopen(url, timeout=30) as page:
            return page.status, page.read().decode(), page.headers
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.read().decode(), exc.headers


def where_back(url: str) -> str:
    """The address that an authorize page sends the browser back to, without going there."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    try:
        with urllib.request.build_opener(Stay).open(url, timeout=30) as page:
            raise AssertionError(f"no redirect: {page.status}")
    except urllib.error.HTTPError as exc:
        with exc:
            return str(exc.headers["location"])


def parameters(url: str) -> dict[str, str]:
    """The query of an address."""
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
