"""Accounts out of a file of another program: what is in it, and the book after it was brought in.

Counterparts: `codex-oss login --import` and `codex-oss accounts transfer` ask the person first, then call this inside
`AccountStore.change`. Nothing calls it by itself.

| program | told by | |
| --- | --- | --- |
| Codex CLI | `tokens` | `{id_token, access_token, refresh_token, account_id}`, `last_refresh` |
| OpenCode | `openai.refresh` or `openai.access` | `{type: "oauth", refresh, access, expires, accountId?}` |
| account plugins | the older forms of `accounts.shapes` | several accounts |

Rules that hold here:

1. A refresh token is good for one use. Two programs that hold the same one end each other's sign-in: whoever refreshes
   second is refused, and then both need a login. `SHARED` says so to the person, before anything is written.
2. An account that is known and can be used keeps its credential, unless the file holds one that ends later.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct, structs

from codex_oss.accounts.account import Account, Credential, Switch, identity_key
from codex_oss.accounts.book import Book, Meant, met_before, signed_in
from codex_oss.accounts.shapes import ShapeUnknown, claims_of, decoded, fallback_key, who_of
from codex_oss.errors import InvalidRequest

SHARED: Final = (
    "A refresh token is good for one use. While the other program goes on with the same sign-in, the first of the two "
    "to refresh signs the other one out. Better sign in here separately (codex-oss login), or stop using the other one."
)
"""For the person, before the import."""


class Found(Struct, frozen=True):
    """What a file holds. program: whose file it is; active: person key of the account meant there, or empty."""

    program: str
    accounts: tuple[Account, ...]
    active: str = ""


class BroughtIn(Struct, frozen=True):
    """What came of an import. taken: as they stand in the book now; kept: what the book knew better."""

    book: Book
    taken: tuple[Account, ...]
    kept: tuple[Account, ...]


def accounts_in_file(data: bytes, now_ms: int) -> Found:
    """Read the file of another program. Raises InvalidRequest `import_unknown` for one that holds no sign-in."""
    try:
        raw = msgspec.json.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raw = None
    if not isinstance(raw, dict):
        raise _unknown("it is no JSON object")
    if isinstance(raw.get("tokens"), dict):
        found = Found("Codex CLI", _of_codex(raw["tokens"], now_ms))
    elif _is_api_key(raw):
        raise _unknown("it holds an API key and no sign-in with ChatGPT")
    else:
        found = _of_store(data, raw, now_ms)
    if not found.accounts:
        raise _unknown("there is no sign-in with ChatGPT in it")
    return found


def brought_in(book: Book, found: Found) -> BroughtIn:
    """The book with the accounts of a file."""
    taken, kept, after = [], [], book
    for account in found.accounts:
        known = met_before(after, account)
        if known is not None and _better(known, account):
            kept.append(known)
            continue
        after, stored = signed_in(after, account)
        taken.append(stored)
    if not taken:
        return BroughtIn(book, (), tuple(kept))
    meant = _meant(book, found.active, taken)
    return BroughtIn(structs.replace(after, active=meant), tuple(taken), tuple(kept))


def _better(known: Account, brought: Account) -> bool:
    """Whether what is known is to stay: it can be used, and what was brought does not outlast it."""
    held, new = known.credential, brought.credential
    same = (held.access, held.refresh) == (new.access, new.refresh)
    return not known.needs_login and (same or held.expires_ms > new.expires_ms)


def _meant(before: Book, active: str, taken: list[Account]) -> Meant:
    """Which account is the active one afterwards: the one of the file; of several without one, what was before."""
    at_ms = taken[0].identified_ms
    people = [account.person_key for account in taken]
    if active in people:
        return Meant(at_ms, active)
    return before.active if len(people) > 1 and before.active.person else Meant(at_ms, people[0])


def _of_codex(tokens: dict[str, Any], now_ms: int) -> tuple[Account, ...]:
    access, refresh, id_token = (_text(tokens.get(name)) for name in ("access_token", "refresh_token", "id_token"))
    if not (access or refresh):
        return ()
    who = who_of(id_token, access)
    account_id = _text(tokens.get("account_id")).strip() or who.account_id
    account = Account(
        key=identity_key(account_id, who.email, who.plan) or fallback_key(account_id, who.email, who.plan),
        account_id=account_id,
        email=who.email,
        user_id=who.user_id,
        plan=who.plan,
        credential=Credential(0, _ends_ms(access), access, refresh),
    )
    return (_dated(account, now_ms),)


def _of_store(data: bytes, raw: dict[str, Any], now_ms: int) -> Found:
    try:
        book = decoded(data)
    except ShapeUnknown:
        return Found("", ())
    single = isinstance(raw.get("openai"), dict) and raw["openai"].get("type") == "oauth"
    accounts = tuple(_dated(account, now_ms) for account in book.accounts)
    return Found("OpenCode" if single else "account store", accounts, book.active.person)


def _dated(account: Account, now_ms: int) -> Account:
    """The account as if it signed in now, but for what its owner said of it."""
    held = account.credential
    ends_ms = held.expires_ms or _ends_ms(held.access)
    return structs.replace(
        account,
        identified_ms=now_ms,
        credential=structs.replace(held, generation=0, expires_ms=ends_ms),
        rejected_generation=-1,
        dead_generation=-1,
        switch=structs.replace(account.switch, at_ms=now_ms),
        workspace=Switch(now_ms),
        added_ms=account.added_ms or now_ms,
    )


def _ends_ms(access: str) -> int:
    """When an access token says that it ends; 0, which is long ago, where it does not."""
    ends = claims_of(access).get("exp")
    if isinstance(ends, bool) or not isinstance(ends, int | float):
        return 0
    return int(ends * 1000) if 0 < ends < 1e11 else 0


def _is_api_key(raw: dict[str, Any]) -> bool:
    openai = raw.get("openai")
    of_opencode = isinstance(openai, dict) and openai.get("type") == "api"
    return of_opencode or bool(_text(raw.get("OPENAI_API_KEY")))


def _unknown(why: str) -> InvalidRequest:
    return InvalidRequest(
        f"This file cannot be imported: {why}.",
        hint="An auth.json of the Codex CLI (~/.codex) or of OpenCode (~/.local/share/opencode) can.",
        code="import_unknown",
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
