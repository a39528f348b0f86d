"""A home with accounts in it, and `codex-oss accounts …` as a real process there."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codex_oss.accounts.account import Account, Credential
from codex_oss.accounts.book import Book
from codex_oss.services.account_store import AccountStore

FAR_MS = 1 << 50
CANARY = "canary"


def account(name: str, workspace: str, plan: str, **changes: Any) -> Account:
    """An account that may be used, with tokens that must never be seen and a field of a later version."""
    return Account(
        **{
            "key": f"{workspace}|{name}@x.y|{plan}",
            "account_id": workspace,
            "email": f"{name}@x.y",
            "plan": plan,
            "user_id": f"user-{name}",
            "credential": Credential(1, FAR_MS, f"access-{CANARY}-{workspace}", f"refresh-{CANARY}-{workspace}"),
            "extra": {"later": {"of": name}},
            **changes,
        }
    )


ANN = account("ann", "acc1", "plus")
BOB = account("bob", "acc2", "pro")
TEAM = account("ann", "acc3", "team")


class Home:
    """One user's home below a folder of a test."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.folder = self.home / ".config" / "codex-oss"
        self.store = AccountStore(self.folder)
        self.environ: dict[str, str] = {}

    def put(self, *accounts: Account, **fields: Any) -> None:
        """Keep these accounts, and nothing else."""
        book = Book(accounts, **fields)
        self.store.change(lambda _: book)

    def run(self, *words: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        """`codex-oss …` there."""
        held = {"PATH": os.environ["PATH"], "HOME": str(self.home), "TZ": "UTC"}
        carried = {name: value for name, value in os.environ.items() if name.startswith(("CODEX_OSS_TAP", "COVERAGE"))}
        self.home.mkdir(parents=True, exist_ok=True)
        return subprocess.run(
            [sys.executable, "-m", "codex_oss", *words],
            cwd=self.home,
            env={**carried, **held, **self.environ, **environ},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def at_terminal(self, *words: str, typed: str) -> tuple[int, str]:
        """The same at a terminal, where one line is typed; its exit status and all that was shown."""
        primary, secondary = pty.openpty()
        child = subprocess.Popen(
            [sys.executable, "-m", "codex_oss", *words],
            cwd=self.home,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), "TERM": "dumb"},
            stdin=secondary,
            stdout=secondary,
            stderr=secondary,
            start_new_session=True,
        )
        os.close(secondary)
        os.write(primary, f"{typed}\n".encode())
        shown = b""
        with contextlib.suppress(OSError):  # the end of a terminal is an error on Linux
            while data := os.read(primary, 4096):
                shown += data
        os.close(primary)
        return child.wait(30), shown.decode()

    def told(self, *words: str, stdin: str = "", status: int = 0, **environ: str) -> Any:
        """The one JSON object that `codex-oss … --json` prints."""
        done = self.run(*words, "--json", stdin=stdin, **environ)
        assert done.returncode == status, done.stderr
        return json.loads(done.stdout)

    def listed(self) -> Mapping[str, Any]:
        """Key to account, as `accounts list --json` has them."""
        return {row["key"]: row for row in self.told("accounts", "list")["accounts"]}
