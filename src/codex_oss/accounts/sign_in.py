"""A sign-in by browser, as values: what a request to the callback means, and what a person pasted instead of it.

Counterparts: `services.callback_server` and `services.sign_in` act on the answers, `accounts.sign_in_pages` words the
pages, `accounts.device_sign_in` is the way without a browser on this machine.

    waiting ── right state, code ──► redeeming ──► done
       │  └─ wrong state ─► an error page; still waiting
       └──── right state, error · cancel ──► failed

Rules that hold here:

1. The state is single use: whatever comes with it a second time begins nothing. A repeat of the callback that failed
   gets the same page again, because browsers reload.
2. Who does not know the state changes nothing, and learns nothing but that it is wrong.
3. A parameter that stands there twice is as if it were empty: two readers must not read two different values.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from typing import Final, Literal
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct, structs

from codex_oss.accounts.account import Account, Credential, Switch, identity_key
from codex_oss.accounts.oauth import Tokens
from codex_oss.accounts.shapes import claims_of, fallback_key, who_of

Phase = Literal["waiting", "redeeming", "done", "failed"]
Page = Literal["signed_in", "wrong_state", "used", "refused", "no_code", "not_stored", "cancelled", "unreadable"]
MAX_CODE: Final = 4096
BARE_CODE: Final = re.compile(r"[A-Za-z0-9._~+/=-]{6,4096}")
MIN_SKEW_S: Final = 300.0
"""A clock that is off by less is not worth a word."""


class Waiting(Struct, frozen=True):
    """One sign-in. state: what the browser has to bring back; said: what the issuer answered instead of a code."""

    state: str
    phase: Phase = "waiting"
    said: str = ""
    strangers: int = 0
    """Callbacks that came with another state meanwhile."""


class Answer(Struct, frozen=True):
    """What to do with one callback. The page is only true once the code, if there is one, was redeemed."""

    page: Page
    code: str = ""
    """To be turned into tokens."""
    failure: str = ""
    """Code of the LoginFailed that the sign-in ends with."""
    closes: bool = False
    """Nobody waits here any more: the listener can go."""


def query_of(raw: str) -> dict[str, str]:
    """The parameters of an address."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(raw, keep_blank_values=True, max_num_fields=64):
        found[name] = "" if name in found else value
    return found


def on_callback(waiting: Waiting, query: Mapping[str, str]) -> tuple[Waiting, Answer]:
    """A browser came back with these parameters."""
    if not _knows(waiting, query):
        more = waiting.strangers + (waiting.phase == "waiting")
        return structs.replace(waiting, strangers=more), Answer("wrong_state")
    error = query.get("error", "")
    if waiting.phase == "failed" and error:
        return waiting, Answer("refused")
    if waiting.phase != "waiting":
        return waiting, Answer("used")
    if error:
        said = query.get("error_description", "") or error
        failure = "login_denied" if error == "access_denied" else "login_refused"
        return structs.replace(waiting, phase="failed", said=said), Answer("refused", failure=failure)
    code = query.get("code", "")
    if not 0 < len(code) <= MAX_CODE:
        failed = structs.replace(waiting, phase="failed", said="the browser came back without a code")
        return failed, Answer("no_code", failure="login_refused")
    return structs.replace(waiting, phase="redeeming"), Answer("signed_in", code=code)


def on_cancel(waiting: Waiting, query: Mapping[str, str]) -> tuple[Waiting, Answer]:
    """Somebody wants the listener to go: its own sign-in by the state, or anybody once it waits for nothing."""
    if waiting.phase in ("done", "failed"):
        return waiting, Answer("cancelled", closes=True)
    if waiting.phase == "waiting" and _knows(waiting, query):
        return structs.replace(waiting, phase="failed"), Answer("cancelled", failure="login_cancelled", closes=True)
    return waiting, Answer("wrong_state")


def on_paste(waiting: Waiting, text: str) -> tuple[Waiting, Answer]:
    """A person pasted the address that the browser ended at, its parameters, or the code alone.

    A code alone carries no state: that it belongs to this sign-in is then for the issuer to say, by the PKCE verifier.
    What is none of these changes nothing (`unreadable`), so that the person can be asked again.
    """
    pasted = text.strip().strip("<>\"'`").strip()
    query = _query_in(pasted)
    if query:
        return on_callback(waiting, query) if {"code", "error"} & set(query) else (waiting, Answer("unreadable"))
    code, _, state = pasted.partition("#")
    if not BARE_CODE.fullmatch(code):
        return waiting, Answer("unreadable")
    return on_callback(waiting, {"code": code, "state": state or waiting.state})


def login_of(tokens: Tokens, now_ms: int) -> Account | None:
    """The account that tokens are for, signed in now; None when they do not say whose they are."""
    who = who_of(tokens.id_token, tokens.access)
    if not (who.account_id or who.email or who.user_id):
        return None
    return Account(
        key=identity_key(who.account_id, who.email, who.plan) or fallback_key(who.account_id, who.email, who.plan),
        account_id=who.account_id,
        email=who.email,
        user_id=who.user_id,
        plan=who.plan,
        identified_ms=now_ms,
        credential=Credential(0, now_ms + int(tokens.life_s * 1000), tokens.access, tokens.refresh),
        switch=Switch(now_ms),
        workspace=Switch(now_ms),
        added_ms=now_ms,
        last_used_ms=now_ms,
    )


def clock_skew_s(access: str, now_s: float) -> float:
    """By how much this clock is ahead of the issuer's, told by a token that was made just now; 0 below MIN_SKEW_S."""
    made = claims_of(access).get("iat")
    if isinstance(made, bool) or not isinstance(made, int | float) or not 0 < made < 1e11:
        return 0.0
    return now_s - made if abs(now_s - made) >= MIN_SKEW_S else 0.0


def _knows(waiting: Waiting, query: Mapping[str, str]) -> bool:
    told = query.get("state", "")
    return bool(told) and hmac.compare_digest(told.encode("utf-8", "replace"), waiting.state.encode())


def _query_in(pasted: str) -> dict[str, str]:
    """The parameters of an address or of what looks like the end of one; empty for anything else."""
    if "://" not in pasted and not pasted.startswith(("/", "?")) and not re.match(r"(code|state|error)=", pasted):
        return {}
    try:
        raw = urlsplit(pasted).query if "://" in pasted or "?" in pasted else pasted
        return query_of(raw) or {"": ""}
    except ValueError:
        return {"": ""}
