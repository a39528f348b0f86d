"""The book as JSON: our form, and every older one that may lie where ours should.

Counterpart: `services.account_store` reads and writes the bytes.

| form | told by | |
| --- | --- | --- |
| ours | `schemaVersion` | `accounts[]`, `active`, `pinned`, `strategy` |
| domains | `openai.native` or `openai.codex` | two lists of one person's accounts; joined by who they are |
| flat | `openai.accounts[]` | one list |
| one login | `openai.refresh` or `openai.access` | one account |
| older plugin | `accounts[]` with `refreshToken`, `activeIndex` | rows without a refresh token are no accounts |

Rules that hold here:

1. Reading raises nothing but ShapeUnknown, for what is no JSON object. A field of a wrong type is as if it were absent.
   Every field that this version does not know stays, in `extra`.
2. `decoded(encoded(book)) == book`.
3. One credential stands in one account: where two forms of one account hold different tokens, the fresher pair is kept.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec
from msgspec import structs

from codex_oss.accounts.account import Account, Cooldown, Credential, Switch, identity_key
from codex_oss.accounts.book import STRATEGIES, Book, Meant, Strategy, joined_account

SCHEMA_VERSION: Final = 1
AUTH_CLAIM: Final = "https://api.openai.com/auth"
PROFILE_CLAIM: Final = "https://api.openai.com/profile"


class ShapeUnknown(Exception):
    """The bytes are no JSON object."""


def decoded(data: bytes) -> Book:
    """Read a book in any form. Raises ShapeUnknown."""
    try:
        raw = msgspec.json.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
        raise ShapeUnknown(str(exc)) from None
    if not isinstance(raw, dict):
        raise ShapeUnknown("not an object")
    if "schemaVersion" in raw:
        return _ours(raw)
    openai = raw.get("openai")
    if isinstance(openai, dict):
        return _domains(raw, openai)
    if isinstance(raw.get("accounts"), list):
        return _older_plugin(raw)
    return Book(extra=_foreign(raw))


def encoded(book: Book) -> bytes:
    """Write a book in our form, for a person to read: indented, stable."""
    rows = [_row(account) for account in book.accounts]
    raw = {**book.extra, **_without_extra(book), "schemaVersion": SCHEMA_VERSION, "accounts": rows}
    return msgspec.json.format(msgspec.json.encode(raw), indent=2) + b"\n"


def claims_of(token: str) -> dict[str, Any]:
    """The payload of a JWT, unverified: it came from the issuer over TLS. Empty for anything else."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        payload = msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error, msgspec.MsgspecError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}


class Who(msgspec.Struct, frozen=True):
    """What tokens say of their owner; empty where they do not."""

    account_id: str = ""
    user_id: str = ""
    email: str = ""
    plan: str = ""


def who_of(*tokens: str) -> Who:
    """What tokens say together; the id token first, then the access token."""
    claims = [claims_of(token) for token in tokens]
    auth = [_object(one.get(AUTH_CLAIM)) for one in claims]
    profiles = [_object(one.get(PROFILE_CLAIM)) for one in claims]
    organisations = [
        _object(one["organizations"][0])
        for one in claims
        if isinstance(one.get("organizations"), list) and one["organizations"]
    ]
    return Who(
        account_id=_first("chatgpt_account_id", *claims, *auth) or _first("id", *organisations),
        user_id=_first("chatgpt_user_id", *auth, *claims) or _first("user_id", *auth),
        email=_first("email", *claims, *profiles).lower(),
        plan=_first("plan", *claims) or _first("chatgpt_plan_type", *auth).lower(),
    )


# Ours.


def _row(account: Account) -> dict[str, Any]:
    return {**account.extra, **_without_extra(account)}


def _without_extra(struct: Account | Book) -> dict[str, Any]:
    raw: dict[str, Any] = msgspec.to_builtins(struct)
    del raw["extra"]
    return raw


def _ours(raw: dict[str, Any]) -> Book:
    rows = [row for row in _list(raw.get("accounts")) if isinstance(row, dict)]
    known, extra = _fitting(Book, {name: value for name, value in raw.items() if name != "accounts"})
    extra.pop("schemaVersion", None)
    return Book(**known, accounts=_distinct(_account(row) for row in rows), extra=extra)


def _account(row: Mapping[str, Any]) -> Account:
    known, extra = _fitting(Account, row)
    account = Account(**{"key": "", **known}, extra=extra)
    if account.key:
        return account
    key = identity_key(account.account_id, account.email, account.plan)
    return structs.replace(account, key=key or fallback_key(account.account_id, account.email, account.plan))


def _fitting(kind: type[Account] | type[Book], raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of *raw* that fit those of *kind*, by our names, and all the others as they are."""
    known: dict[str, Any] = {}
    extra = dict(raw)
    for field in structs.fields(kind):
        if field.name == "extra" or field.encode_name not in raw:
            continue
        del extra[field.encode_name]
        with suppress(msgspec.MsgspecError):
            known[field.name] = msgspec.convert(raw[field.encode_name], field.type)
    return known, extra


# Older ones.

_OLD_NAMES: Final = (
    *("identityKey", "accountId", "email", "plan", "enabled", "access", "refresh", "expires"),
    *("refreshLeaseUntil", "cooldownUntil", "lastUsed", "refreshToken", "accessToken", "expiresAt", "coolingDownUntil"),
)


def _domains(root: dict[str, Any], openai: dict[str, Any]) -> Book:
    """The forms under `openai`; of two domains the accounts of both, the one that was written last meant."""
    domains = [part for name in ("native", "codex") if isinstance(part := openai.get(name), dict)]
    rows = [row for domain in domains or [openai] for row in _list(domain.get("accounts"))]
    if not rows and (_text(openai.get("refresh")) or _text(openai.get("access"))):
        rows = [openai]
    accounts = _distinct(_old_account(row) for row in rows if isinstance(row, dict))
    active = next((key for part in (*domains, openai) if (key := _text(part.get("activeIdentityKey")))), "")
    strategy = next((told for part in (*domains, openai) if (told := _strategy(part.get("strategy")))), None)
    return Book(accounts=accounts, active=_meant_by_key(accounts, active), strategy=strategy, extra=_foreign(root))


def _older_plugin(raw: dict[str, Any]) -> Book:
    rows = [row for row in raw["accounts"] if isinstance(row, dict)]
    kept = [
        (at, _old_account(row)) for at, row in enumerate(rows) if _text(row.get("refreshToken") or row.get("refresh"))
    ]
    accounts = _distinct(account for _, account in kept)
    chosen = [account for at, account in kept if at == raw.get("activeIndex")]
    person = chosen[0].person_key if chosen else ""
    return Book(accounts=accounts, active=Meant(0, person), extra=_foreign(raw))


def _old_account(row: Mapping[str, Any]) -> Account:
    access = _text(row.get("access")) or _text(row.get("accessToken"))
    who = who_of(access)
    account_id = _text(row.get("accountId")).strip() or who.account_id
    email = (_text(row.get("email")) or who.email).strip().lower()
    plan = (_text(row.get("plan")) or who.plan).strip().lower()
    expires = _whole(row.get("expires")) or _whole(row.get("expiresAt")) or 0
    cooling = _whole(row.get("cooldownUntil")) or _whole(row.get("coolingDownUntil")) or 0
    key = identity_key(account_id, email, plan) or _text(row.get("identityKey"))
    return Account(
        key=key or fallback_key(account_id, email, plan),
        account_id=account_id,
        email=email,
        plan=plan,
        user_id=who.user_id,
        identified_ms=expires,
        credential=Credential(0, expires, access, _text(row.get("refresh")) or _text(row.get("refreshToken"))),
        switch=Switch(0, row.get("enabled") is not False),
        cooldown=Cooldown(cooling, "migrated" if cooling else ""),
        last_used_ms=_whole(row.get("lastUsed")) or 0,
        extra={name: value for name, value in row.items() if name not in (*_OLD_NAMES, *_SINGLE, *_OURS)},
    )


_OURS: Final = tuple(field.encode_name for field in structs.fields(Account))
_SINGLE: Final = ("type", "strategy", "accounts", "activeIdentityKey", "native", "codex")
"""What stands beside the tokens where one login is all there is."""


def _meant_by_key(accounts: Iterable[Account], key: str) -> Meant:
    """An older pointer, found by its key or by the account and e-mail in it."""
    parts = key.lower().split("|")[:2]
    for account in accounts:
        if account.key == key or (len(parts) == 2 and [account.account_id.lower(), account.email] == parts):
            return Meant(0, account.person_key)
    return Meant()


# Both.


def _foreign(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a file that are neither ours nor of an older form."""
    ours = (*(field.encode_name for field in structs.fields(Book)), "schemaVersion", "openai", "activeIndex")
    return {name: value for name, value in raw.items() if name not in ours}


def _distinct(accounts: Iterable[Account]) -> tuple[Account, ...]:
    """Records of one account as one; nameless ones stay apart by a number."""
    out: dict[str, Account] = {}
    for account in accounts:
        known = out.get(account.person_key)
        if known is None:
            out[account.person_key] = account
        elif account.person_key.startswith("key|"):
            apart = _numbered(account, out)
            out[apart.person_key] = apart
        else:
            out[account.person_key] = joined_account(known, account)
    return tuple(out.values())


def _numbered(account: Account, taken: Mapping[str, Account]) -> Account:
    number = 2
    while f"key|{account.key}|dup:{number}" in taken:
        number += 1
    return structs.replace(account, key=f"{account.key}|dup:{number}")


def fallback_key(account_id: str, email: str, plan: str) -> str:
    """The key of an account of which not all three parts are known; a function of those that are."""
    return "legacy|" + "|".join(part or "_" for part in (account_id, email, plan))


def _strategy(value: object) -> Strategy | None:
    return next((known for known in STRATEGIES if known == value), None)


def _first(name: str, *objects: Mapping[str, Any]) -> str:
    return next((text for one in objects if (text := _text(one.get(name)).strip())), "")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if -(2.0**63) < value < 2.0**63 else None


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
