"""The pages that a browser is shown when it comes back from a sign-in.

Counterparts: `accounts.sign_in` says which one, `services.callback_server` sends it with HEADERS.

Rules that hold here:

1. No script, no picture, no form, no address elsewhere: the policy in HEADERS allows one style, by its hash.
2. Whatever the issuer worded is escaped and cut short.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping
from typing import Final

from codex_oss.accounts.sign_in import Page
from codex_oss.policy.printable import printable

STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:15vh auto;padding:0 1rem}"
    "p{color:#555}@media(prefers-color-scheme:dark){body{background:#111;color:#eee}p{color:#aaa}}"
)
MAX_SAID: Final = 200
PAGES: Final[Mapping[Page, tuple[int, str, str]]] = {
    "signed_in": (200, "Signed in", "codex-oss has stored the account. You can close this tab."),
    "wrong_state": (
        *(400, "Not this sign-in"),
        "This address does not belong to the sign-in that is waiting here (its state differs), so it was not used. "
        "It may come from an older page, or from another site. A sign-in that waits here goes on waiting.",
    ),
    "used": (400, "Used already", "This address was used once, and each is good for one use. Look at the terminal."),
    "refused": (200, "Not signed in", "The sign-in service did not allow the sign-in. Look at the terminal."),
    "no_code": (400, "Not signed in", "The browser came back without a code. Begin again in the terminal."),
    "not_stored": (500, "Not signed in", "The sign-in could not be finished. The terminal says why."),
    "cancelled": (200, "Cancelled", "The sign-in was cancelled."),
}
"""Page to its status, heading and text. The last one is sent as text."""
HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Pragma": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""On every answer, whatever it is."""


def content_policy() -> str:
    """The Content-Security-Policy of a page."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def render_page(page: Page, said: str = "") -> tuple[int, str]:
    """The status and the HTML of a page. said: what the issuer answered; shown with the pages of failures."""
    status, heading, text = PAGES[page]
    detail = f"<p>{html.escape(printable(said[:MAX_SAID]))}</p>" if said and page != "signed_in" else ""
    return status, (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{heading} · codex-oss</title>'
        f"<style>{STYLE}</style></head><body><h1>{heading}</h1><p>{html.escape(text)}</p>{detail}</body></html>"
    )
