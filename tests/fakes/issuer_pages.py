"""The sign-in pages of the rude issuer: what a browser meets, and the endpoints of the device flow.

Counterpart: `tests.fakes.issuer`, which turns the codes that are given here into tokens.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qs, quote

from codex_oss.accounts.oauth import (
    CALLBACK_PATH,
    CLIENT_ID,
    DEVICE_CALLBACK,
    DEVICE_CODE_PATH,
    DEVICE_POLL_PATH,
    PORTS,
    SCOPE,
    challenge_of,
)

Answered = tuple[int, str, bytes] | tuple[int, str, bytes, dict[str, str]]
Who = tuple[str, str, str]
CHALLENGE = b"<!doctype html><title>Just a moment...</title><p>Checking your browser</p>"
REDIRECT = re.compile(rf"http://localhost:(\d+){CALLBACK_PATH}")
POLLS: dict[str, tuple[int, dict[str, Any] | None]] = {
    "pending": (400, {"error": "authorization_pending"}),
    "pending_403": (403, {"error": {"code": "deviceauth_authorization_unknown", "message": "not yet"}}),
    "pending_404": (404, {"error": {"code": "deviceauth_authorization_unknown", "message": "not yet"}}),
    "slow_down": (400, {"error": "slow_down"}),
    "busy": (429, {"error": "too_many"}),
    "broken": (503, None),
    "challenge": (403, None),
    "challenge_200": (200, None),
    "denied": (400, {"error": "access_denied"}),
    "expired": (400, {"error": "expired_token"}),
    "odd": (400, {"error": "bad_client"}),
    "teapot": (418, None),
}
"""A word for what a poll is answered with: its status and body, None for a web page."""


def error(status: int, body: dict[str, Any]) -> tuple[int, str, bytes]:
    """An error as JSON."""
    return status, "application/json", json.dumps(body).encode()


def html(status: int) -> tuple[int, str, bytes]:
    """A web page instead of an answer."""
    return status, "text/html; charset=utf-8", CHALLENGE


class SignInPages:
    """The pages, and what they know.

    person: who is signed in there. visits: for each visit of the authorize page to come, what it does: `grant`,
    `deny`, `wrong_state`, `no_code`, `fail` (another error), `challenge`; then `grant`. any_port: whether ports other
    than the registered ones are accepted. script: for each poll of a device to come, a word of POLLS, or `grant`; then
    it waits until somebody posts the code at /codex/device. device_off: no device flow is offered.
    """

    def __init__(self) -> None:
        self.person: Any = ("ann@x.y", "acc1", "plus")
        self.visits: list[str] = []
        self.script: list[str] = []
        self.any_port = True
        self.device_off = False
        self.interval: Any = "1"
        self.user_code = "ABCD-12345"
        self.polls = 0
        self.codes: dict[str, tuple[Who, str, str]] = {}
        """Code to the person, the redirect address and the challenge that it is good for."""
        self._devices: dict[str, str] = {}
        self._agreed: set[str] = set()
        self._number = 0

    def opened(self, path: str, query: dict[str, str], url: str) -> Answered:
        """A GET."""
        if path == "/oauth/authorize":
            return self._authorized(query)
        if path == "/codex/device":
            return html(200)
        return html(404)

    def posted(self, path: str, data: bytes, kind: str, url: str) -> Answered:
        """A POST."""
        if path == "/codex/device":
            return self._typed({name: values[0] for name, values in parse_qs(data.decode()).items()})
        if kind.partition(";")[0] != "application/json":
            return html(415)
        asked = json.loads(data)
        if path == DEVICE_CODE_PATH:
            return self._device(asked)
        return self._polled(asked, url) if path == DEVICE_POLL_PATH else html(404)

    def _authorized(self, query: dict[str, str]) -> Answered:
        """What a browser gets that is signed in already: it is sent back at once."""
        found = REDIRECT.fullmatch(query.get("redirect_uri", ""))
        wanted = {"response_type": "code", "client_id": CLIENT_ID, "scope": SCOPE, "code_challenge_method": "S256"}
        wrong = [name for name, value in wanted.items() if query.get(name) != value]
        short = len(query.get("state", "")) < 32 or len(query.get("code_challenge", "")) != 43
        if not found or wrong or short or not (self.any_port or int(found[1]) in PORTS):
            return html(400)
        visit = self.visits.pop(0) if self.visits else "grant"
        if visit == "challenge":
            return html(403)
        back = query["redirect_uri"]
        given = {"state": query["state"]}
        if visit == "deny":
            given |= {"error": "access_denied", "error_description": "<b>The user said no</b>"}
        elif visit == "fail":
            given |= {"error": "server_error"}
        elif visit != "no_code":
            given["code"] = self._code(back, query["code_challenge"])
        if visit == "wrong_state":
            given["state"] = "x" * 43
        address = f"{back}?{'&'.join(f'{name}={quote(value)}' for name, value in given.items())}"
        return 302, "text/html", b"", {"location": address}

    def _code(self, redirect_uri: str, challenge: str) -> str:
        self._number += 1
        code = f"ac_{self._number}_of_the_issuer"
        who: Who = tuple(self.person)
        self.codes[code] = (who, redirect_uri, challenge)
        return code

    def _device(self, asked: dict[str, Any]) -> Answered:
        if self.device_off:
            return html(404)
        if asked != {"client_id": CLIENT_ID}:
            return error(400, {"error": "invalid_request"})
        self._number += 1
        auth_id = f"deviceauth_{self._number}"
        self._devices[auth_id] = self.user_code
        return error(200, {"device_auth_id": auth_id, "user_code": self.user_code, "interval": self.interval})

    def _typed(self, form: dict[str, str]) -> Answered:
        """The person typed the code on another device."""
        self._agreed.add(form.get("user_code", ""))
        return html(200)

    def _polled(self, asked: dict[str, Any], url: str) -> Answered:
        self.polls += 1
        if self._devices.get(asked.get("device_auth_id", "")) != asked.get("user_code"):
            return error(400, {"error": "invalid_request"})
        word = self.script.pop(0) if self.script else "grant" if asked["user_code"] in self._agreed else "pending_403"
        if word == "grant":
            verifier = "v" * 43
            code = self._code(f"{url}{DEVICE_CALLBACK}", challenge_of(verifier))
            return error(200, {"authorization_code": code, "code_verifier": verifier, "code_challenge": "-"})
        status, body = POLLS[word]
        return html(status) if body is None else error(status, body)
