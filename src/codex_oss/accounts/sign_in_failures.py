"""Why a sign-in came to nothing, for the person: one sentence and what to do next, by code.

Counterparts: `services.sign_in` raises them; docs/sign-in.md has a row for each (a test compares). No sentence holds a
code, a token or a state; words of the issuer are cut short and cleaned.
"""

from __future__ import annotations

import re
from typing import Final

from codex_oss.accounts.oauth import Refusal
from codex_oss.errors import LoginFailed
from codex_oss.policy.printable import printable

MAX_SAID: Final = 200
FAILURES: Final[dict[str, tuple[str, str]]] = {
    "login_denied": (
        "The sign-in was not allowed in the browser",
        "Begin again and allow it; in a workspace an administrator may have to allow Codex first.",
    ),
    "login_refused": (
        "The sign-in service refused the sign-in",
        "Begin again: a code is good for one use and a few minutes.",
    ),
    "login_expired": (
        "Nobody finished the sign-in in time",
        "Begin again. If the browser could not reach this machine: codex-oss login --device, or --paste.",
    ),
    "login_state_mismatch": (
        "What came back belongs to another sign-in, and nothing came for this one",
        "Close older sign-in pages, begin again, and use the address that is shown now.",
    ),
    "login_cancelled": ("The sign-in was cancelled", "Begin again when you like: codex-oss login."),
    "login_port_busy": (
        "No port is free for the browser to come back to",
        "End that program, or sign in without a port: codex-oss login --device, or --paste.",
    ),
    "login_under_way": ("Another sign-in is under way in this process", "Finish or cancel it first."),
    "login_unidentified": (
        "The sign-in gave tokens that do not say whose account it is",
        "Sign in with a ChatGPT account that may use Codex.",
    ),
    "login_device_off": (
        "The sign-in service offers no sign-in by device code for this account",
        "Allow it in the security settings of ChatGPT, or use codex-oss login --browser or --paste.",
    ),
    "issuer_unavailable": (
        "The sign-in service did not answer as it should",
        "Check the network, a proxy (HTTPS_PROXY) and the clock of this machine: a wrong clock breaks TLS.",
    ),
}
"""Code of a LoginFailed to its sentence, without the full stop, and its hint."""
CHALLENGE_HINT: Final = (
    "It sent a web page instead of an answer, as challenges and proxies do: try another network, or without a VPN."
)


def login_failed(code: str, said: str = "", *, hint: str = "") -> LoginFailed:
    """The error of this code. said: a detail, also one that the issuer or a web page worded."""
    message, usual_hint = FAILURES[code]
    detail = " ".join(printable(said[: MAX_SAID * 2]).split()).rstrip(".")[:MAX_SAID]
    sentence = f"{message}: {detail}." if detail else f"{message}."
    return LoginFailed(sentence, hint=hint or usual_hint, code=code)


def refused(refusal: Refusal) -> LoginFailed:
    """The error of an answer of the issuer: only its status and a plain code are told."""
    shown = refusal.code if re.fullmatch(r"[A-Za-z0-9_.-]{1,60}", refusal.code) else ""
    told = shown or (f"status {refusal.status}" if refusal.status else "no answer")
    if refusal.code in ("access_denied", "authorization_declined"):
        return login_failed("login_denied")
    if refusal.code == "expired_token":
        return login_failed("login_expired")
    if refusal.status in (0, 429) or refusal.status >= 500 or refusal.status // 100 == 3:
        return login_failed("issuer_unavailable", told)
    return login_failed("login_refused", told, hint="" if shown else CHALLENGE_HINT)
