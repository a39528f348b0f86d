"""A report that can be pasted in public: versions, settings, accounts and failures, without a word that says whose.

Counterparts: `policy.pseudonyms` decides what a text becomes, `cli.report` prints it. docs/diagnostics.md lists what is
in it and what is not.

    settings ─┐
    accounts ─┤
    requests ─┼─► closed words, numbers, pseudonyms ─► JSON ─► does it hold anything that it must not? ─► out
    sandbox  ─┘                                                       └─ yes: refused, nothing is written

Rules that hold here:

1. Numbers, truth values and words from closed lists are shown; any other text becomes a pseudonym or is only counted.
   No token, e-mail address, path, message, prompt or answer is ever read into it.
2. What cannot be read is a part that says so by a code; the other parts stand.
3. The last step looks for every identifier that this machine knows, raw and encoded. It should never find one.
"""

from __future__ import annotations

import base64
import getpass
import json
import os
import platform
import re
import secrets
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from codex_oss import __version__
from codex_oss.accounts.account import Account
from codex_oss.accounts.book import Book
from codex_oss.accounts.quota import Quota
from codex_oss.accounts.view import views_of
from codex_oss.config import SETTINGS, Config
from codex_oss.errors import HTTP_STATUS, BridgeError, StoreError
from codex_oss.policy.pseudonyms import Pseudonyms
from codex_oss.services.account_store import AccountStore, accounts_folder
from codex_oss.services.quota_store import QuotaStore
from codex_oss.services.report_words import WORDS
from codex_oss.services.request_history import last_records
from codex_oss.services.request_record import RequestRecord
from codex_oss.services.sandbox import LADDER, level_problem, probe_sandbox
from codex_oss.services.settings import read_config, shipped_models

SCHEMA: Final = "report.v1"
MAX_REQUESTS: Final = 500
MAX_FAILURES: Final = 20
MIN_CHECKED_CHARS: Final = 6
"""Shorter identifiers stand in ordinary words; they are never put in, and cannot be looked for."""
WORD_SETTINGS: Final = frozenset(
    {
        "account_identity",
        "account_strategy",
        "action_protocol",
        "gpt_strategy",
        "mission_on_disconnect",
        "sandbox",
        "visible_trace",
    }
)
"""Settings whose values come from a closed list."""


def make_report(project: Path, environ: Mapping[str, str], *, clock: Callable[[], float] = time.time) -> dict[str, Any]:
    """The report, as JSON values. Raises StoreError (`report_unsafe`) instead of giving away what it must not."""
    now_s = clock()
    names = Pseudonyms(secrets.token_bytes(32), {*WORDS, *HTTP_STATUS, *shipped_models()})
    book = Book()
    told: dict[str, Any] = {"schema": SCHEMA, "made_at": int(now_s), "versions": _versions()}
    told["sandbox"] = {"default": probe_sandbox(), **{level: not level_problem(level) for level in LADDER}}
    try:
        config = read_config(project, {}, environ)
        told["settings"] = _settings(config)
    except BridgeError as exc:
        config = Config()
        told["settings"] = {"problem": exc.code}
    told["environment"] = sorted({name for row in SETTINGS for name in row.env if environ.get(name)})
    try:
        book, quotas = _accounts(environ)
        told["accounts"] = _accounts_part(book, quotas, names, int(now_s * 1000))
    except BridgeError as exc:
        told["accounts"] = {"problem": names.word(exc.code)}
    try:
        told["requests"] = _requests_part(project / config.request_log, book, names, now_s)
    except OSError as exc:
        told["requests"] = {"problem": type(exc).__name__}
    _check(json.dumps(told, ensure_ascii=False), _identifiers(project, environ, config, book))
    return told


def _versions() -> dict[str, Any]:
    release = re.match(r"\d{1,3}\.\d{1,3}", platform.release())
    return {
        "codex_oss": __version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "system": sys.platform,
        "kernel": release.group() if release else "",
        "machine": platform.machine() if platform.machine() in WORDS else "other",
    }


def _settings(config: Config) -> dict[str, Any]:
    """What differs from the defaults: numbers, truth values and closed words; of anything else, that it is set."""
    default = Config()
    told: dict[str, Any] = {}
    for row in SETTINGS:
        value = getattr(config, row.field)
        if value == getattr(default, row.field):
            continue
        if isinstance(value, bool | int | float) or row.field in WORD_SETTINGS:
            told[row.field] = value
        else:
            told[row.field] = {"set": len(value) if isinstance(value, tuple | Mapping) else 1}
    return told


def _accounts(environ: Mapping[str, str]) -> tuple[Book, dict[str, Quota]]:
    folder = accounts_folder(environ)
    if folder is None or not folder.is_dir():
        return Book(), {}
    book = AccountStore(folder).read()
    with suppress(BridgeError, OSError):
        return book, QuotaStore(folder).known()
    return book, {}


def _accounts_part(book: Book, quotas: Mapping[str, Quota], names: Pseudonyms, now_ms: int) -> list[dict[str, Any]]:
    rows = []
    for account, view in zip(book.accounts, views_of(book, quotas, now_ms), strict=True):
        rows.append(
            {
                "account": _account_name(account, names),
                "workspace": names.name("ws", account.account_id),
                "plan": names.word(account.plan),
                "enabled": view.enabled,
                "active": view.active,
                "pinned": view.pinned,
                "needs_login": view.needs_login,
                "reason": view.reason,
                "why": names.word(view.why or ""),
                "cooldown_s": _left_s(view.cooldown_until, now_ms),
                "token_s": _left_s(account.credential.expires_ms / 1000 or None, now_ms),
                "generation": account.credential.generation,
                "last_error": names.word(account.last_error[1]),
                "quota": [
                    {
                        "window": one.window,
                        "used_percent": one.used_percent,
                        "resets_s": _left_s(one.resets_at, now_ms),
                    }
                    for one in view.quota
                ],
            }
        )
    return rows


def _account_name(account: Account, names: Pseudonyms) -> str:
    return names.name("acct", account.person_key)


def _left_s(at_s: float | None, now_ms: int) -> int | None:
    return None if at_s is None else round(at_s - now_ms / 1000)


def _requests_part(log: Path, book: Book, names: Pseudonyms, now_s: float) -> dict[str, Any]:
    records = last_records(log, MAX_REQUESTS, lambda _: True)
    failures = [record for record in records if record.error_code][-MAX_FAILURES:]
    known = {account.key: _account_name(account, names) for account in book.accounts}
    return {
        "looked_at": len(records),
        "outcomes": dict(Counter(names.word(record.outcome) for record in records)),
        "codes": dict(Counter(names.word(record.error_code) for record in records if record.error_code)),
        "lanes": dict(Counter(names.word(record.lane) for record in records)),
        "last_failures": [_failure(record, known, names, now_s) for record in failures],
    }


def _failure(record: RequestRecord, known: Mapping[str, str], names: Pseudonyms, now_s: float) -> dict[str, Any]:
    attempts = record.attempts if isinstance(record.attempts, tuple) else ()
    return {
        "ago_s": _ago_s(record.time, now_s),
        "code": names.word(record.error_code),
        "outcome": names.word(record.outcome),
        "surface": names.word(record.surface),
        "lane": names.word(record.lane),
        "model": names.model(record.model),
        "reason": names.word(record.reason),
        "tries": record.tries,
        "total_s": record.timings.total_s,
        "attempts": [
            {
                "account": known.get(one.account) or names.name("acct", one.account),
                "reason": names.word(one.reason),
                "outcome": names.word(one.outcome),
            }
            for one in attempts
        ],
    }


def _ago_s(time_told: str, now_s: float) -> int | None:
    with suppress(ValueError, OverflowError):
        return round(now_s - datetime.fromisoformat(time_told).timestamp())
    return None


def _identifiers(project: Path, environ: Mapping[str, str], config: Config, book: Book) -> Iterator[str]:
    """Every text of this machine that says whose report it is, or that opens anything."""
    for account in book.accounts:
        yield from (account.key, account.email, account.account_id, account.user_id)
        yield from (account.credential.access, account.credential.refresh)
    yield from (config.local_key, config.upstream_key, str(project), os.path.realpath(project))
    yield from (environ.get("HOME", ""), environ.get("XDG_CONFIG_HOME", ""), socket.gethostname())
    with suppress(KeyError, OSError):
        yield getpass.getuser()


def _check(text: str, identifiers: Iterable[str]) -> None:
    for one in identifiers:
        if len(one) >= MIN_CHECKED_CHARS and any(form in text for form in _spellings(one)):
            raise StoreError(
                "The report was not made: it would hold something that says whose it is.",
                hint="Please tell us; without the report.",
                code="report_unsafe",
            )


def _spellings(text: str) -> tuple[str, ...]:
    data = text.encode("utf-8", "surrogatepass")
    coded = base64.b64encode(data).decode().rstrip("=")
    return (text, quote(text, safe=""), data.hex(), coded, base64.urlsafe_b64encode(data).decode().rstrip("="))
