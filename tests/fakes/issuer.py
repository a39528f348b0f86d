"""A rude issuer of tokens on loopback: refresh tokens rotate, and using one twice burns its whole family.

It keeps count of what must not happen. Codes of a login are `code-<email>-<account>-<plan>`, or those that its sign-in
pages gave (`tests.fakes.issuer_pages`). As a process: `python -m tests.fakes.issuer`, which prints its address; POST
`/_control` sets attributes, GET `/_seen` tells what was counted.
"""

from __future__ import annotations

import base64
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from codex_oss.accounts.oauth import challenge_of
from tests.fakes.issuer_pages import Answered, SignInPages, error, html


def jwt(claims: dict[str, Any]) -> str:
    """A token that says this, unsigned."""
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{payload}.c2ln"


def access_token(email: str, account: str, plan: str, number: int, made_at: float | None = None) -> str:
    """An access token as the issuer makes them: nested claims, and a number that is its own."""
    return jwt(
        {
            "jti": number,
            **({} if made_at is None else {"iat": int(made_at), "exp": int(made_at) + 864_000}),
            "https://api.openai.com/profile": {"email": email},
            "https://api.openai.com/auth": {
                "chatgpt_account_id": account,
                "chatgpt_user_id": f"user-{email}",
                "chatgpt_plan_type": plan,
            },
        }
    )


class Issuer:
    """The server and all that it knows. life_s: of access tokens; slow_s: before each answer is sent.

    trouble: for each token request to come, the (status, content type, body) that is answered instead; None for none.
    """

    def __init__(self, *, life_s: float = 3600.0, slow_s: float = 0.0, port: int = 0) -> None:
        self.life_s = life_s
        self.slow_s = slow_s
        self.trouble: list[tuple[int, str, bytes] | None] = []
        self.omits_refresh = False
        self.omits_kind = False
        """No answer says what kind it is."""
        self.piece_bytes = 0
        """Answers leave in pieces of this size, with a pause between them; 0 for at once."""
        self.clock_ahead_s = 0.0
        self.pages = SignInPages()
        self.agents: set[str] = set()
        """What whoever posted called itself."""
        self.reuses: list[str] = []
        self.refreshes = 0
        self.exchanges: list[dict[str, str]] = []
        self.challenges: dict[str, str] = {}
        """Code to the challenge that its login began with."""
        self._lock = threading.Lock()
        self._alive: dict[str, tuple[str, tuple[str, str, str]]] = {}
        self._spent: dict[str, str] = {}
        self._burnt: set[str] = set()
        self._number = 0
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                issuer.answer(self)

            def do_POST(self) -> None:
                issuer.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Issuer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def login(self, email: str, account: str = "acc1", plan: str = "plus") -> dict[str, Any]:
        """The tokens of a new login, as a body of the token endpoint."""
        with self._lock:
            return self._issue(f"family-{self._number}", (email, account, plan))

    def _issue(self, family: str, who: tuple[str, str, str]) -> dict[str, Any]:
        self._number += 1
        refresh = f"rt-{self._number}"
        self._alive[refresh] = (family, who)
        access = access_token(*who, self._number, time.time() + self.clock_ahead_s)
        body = {"access_token": access, "refresh_token": refresh, "id_token": access, "expires_in": self.life_s}
        if self.omits_refresh:
            del body["refresh_token"]
        return body

    def answer(self, http: BaseHTTPRequestHandler) -> None:
        """One request."""
        data = http.rfile.read(int(http.headers.get("content-length", 0)))
        path, _, query = http.path.partition("?")
        given = {name: values[0] for name, values in parse_qs(query).items()}
        if http.command == "POST":
            self.agents.add(http.headers.get("user-agent", ""))
        answered = self._answered(http.command, path, given, data, http.headers.get("content-type", ""))
        status, kind, body, *more = answered
        time.sleep(self.slow_s)
        try:
            http.send_response(status)
            if kind and not self.omits_kind:
                http.send_header("content-type", kind)
            for name, value in more[0].items() if more else ():
                http.send_header(name, value)
            http.send_header("content-length", str(len(body)))
            http.end_headers()
            size = self.piece_bytes or max(len(body), 1)
            for at in range(0, len(body), size):
                http.wfile.write(body[at : at + size])
                time.sleep(0.02 if self.piece_bytes else 0)
        except OSError:
            pass  # whoever asked is gone

    def _answered(self, method: str, path: str, query: dict[str, str], data: bytes, kind: str) -> Answered:
        with self._lock:
            if path in ("/_control", "/_seen"):
                return self._controlled(data)
            if method == "GET":
                return self.pages.opened(path, query, self.url)
            if path.startswith(("/api/accounts/deviceauth", "/codex/device")):
                return self.pages.posted(path, data, kind, self.url)
            if path != "/oauth/token":
                return html(404)
            told = self.trouble.pop(0) if self.trouble else None
            if told is not None:
                return told
            if kind != "application/x-www-form-urlencoded":
                return html(415)
            form = {name: values[0] for name, values in parse_qs(data.decode()).items()}
            if form.get("grant_type") == "refresh_token":
                return self._refreshed(form["refresh_token"])
            self.exchanges.append(form)
            return self._exchanged(form)

    def _controlled(self, data: bytes) -> Answered:
        """Set attributes of this object, or of its pages (`pages.x`); tell what was counted."""
        for name, value in json.loads(data or b"{}").items():
            target, _, attribute = name.rpartition(".")
            if attribute == "trouble":
                value = [told and (told[0], told[1], told[2].encode()) for told in value]
            setattr(self.pages if target else self, attribute, value)
        seen = {"reuses": self.reuses, "refreshes": self.refreshes, "exchanges": self.exchanges}
        return 200, "application/json", json.dumps({**seen, "polls": self.pages.polls}).encode()

    def _refreshed(self, refresh: str) -> Answered:
        if refresh in self._spent:
            self.reuses.append(refresh)
            self._burnt.add(self._spent[refresh])
            return error(401, {"error": {"code": "refresh_token_reused", "message": "used already"}})
        if refresh not in self._alive:
            return error(400, {"error": "invalid_grant", "error_description": "unknown"})
        family, who = self._alive[refresh]
        if family in self._burnt:
            return error(401, {"error": {"code": "refresh_token_invalidated", "message": ""}})
        self.refreshes += 1
        if not self.omits_refresh:
            del self._alive[refresh]
            self._spent[refresh] = family
        return 200, "application/json", json.dumps(self._issue(family, who)).encode()

    def _exchanged(self, form: dict[str, str]) -> Answered:
        code = form.get("code", "")
        begun = self.pages.codes.pop(code, None)
        if begun is not None:
            who, redirect_uri, wanted = begun
            if form.get("redirect_uri") != redirect_uri:
                return error(400, {"error": "invalid_grant", "error_description": "redirect_uri"})
        else:
            parts = code.split("-")
            if len(parts) != 4 or parts[0] != "code":
                return error(400, {"error": "invalid_grant"})
            who, wanted = (parts[1], parts[2], parts[3]), self.challenges.get(code, "")
        if wanted and challenge_of(form["code_verifier"]) != wanted:
            return error(400, {"error": "invalid_grant", "error_description": "PKCE"})
        body = self._issue(f"family-{self._number}", who)
        return 200, "application/json", json.dumps(body).encode()


def main() -> None:
    """Serve until stdin ends, so that no test can leave this process behind."""
    with Issuer() as issuer:
        print(issuer.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
