"""A rude issuer of tokens on loopback: refresh tokens rotate, and using one twice burns its whole family.

It keeps count of what must not happen. Codes of a login are `code-<email>-<account>-<plan>`.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from codex_oss.accounts.oauth import challenge_of


def jwt(claims: dict[str, Any]) -> str:
    """A token that says this, unsigned."""
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{payload}.c2ln"


def access_token(email: str, account: str, plan: str, number: int) -> str:
    """An access token as the issuer makes them: nested claims, and a number that is its own."""
    return jwt(
        {
            "jti": number,
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

    def __init__(self, *, life_s: float = 3600.0, slow_s: float = 0.0) -> None:
        self.life_s = life_s
        self.slow_s = slow_s
        self.trouble: list[tuple[int, str, bytes] | None] = []
        self.omits_refresh = False
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

            def do_POST(self) -> None:
                issuer.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
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
        access = access_token(*who, self._number)
        body = {"access_token": access, "refresh_token": refresh, "id_token": access, "expires_in": self.life_s}
        if self.omits_refresh:
            del body["refresh_token"]
        return body

    def answer(self, http: BaseHTTPRequestHandler) -> None:
        """One request."""
        data = http.rfile.read(int(http.headers.get("content-length", 0)))
        status, kind, body = self._answered(http.path, data)
        time.sleep(self.slow_s)
        try:
            http.send_response(status)
            if kind:
                http.send_header("content-type", kind)
            http.send_header("content-length", str(len(body)))
            http.end_headers()
            http.wfile.write(body)
        except OSError:
            pass  # whoever asked is gone

    def _answered(self, path: str, data: bytes) -> tuple[int, str, bytes]:
        with self._lock:
            if path != "/oauth/token":
                return 404, "text/plain", b"no"
            told = self.trouble.pop(0) if self.trouble else None
            if told is not None:
                return told
            form = {name: values[0] for name, values in parse_qs(data.decode()).items()}
            if form.get("grant_type") == "refresh_token":
                return self._refreshed(form["refresh_token"])
            self.exchanges.append(form)
            return self._exchanged(form)

    def _refreshed(self, refresh: str) -> tuple[int, str, bytes]:
        if refresh in self._spent:
            self.reuses.append(refresh)
            self._burnt.add(self._spent[refresh])
            return _error(401, {"error": {"code": "refresh_token_reused", "message": "used already"}})
        if refresh not in self._alive:
            return _error(400, {"error": "invalid_grant", "error_description": "unknown"})
        family, who = self._alive[refresh]
        if family in self._burnt:
            return _error(401, {"error": {"code": "refresh_token_invalidated", "message": ""}})
        self.refreshes += 1
        if not self.omits_refresh:
            del self._alive[refresh]
            self._spent[refresh] = family
        return 200, "application/json", json.dumps(self._issue(family, who)).encode()

    def _exchanged(self, form: dict[str, str]) -> tuple[int, str, bytes]:
        parts = form.get("code", "").split("-")
        if len(parts) != 4 or parts[0] != "code":
            return _error(400, {"error": "invalid_grant"})
        wanted = self.challenges.get(form["code"])
        if wanted is not None and challenge_of(form["code_verifier"]) != wanted:
            return _error(400, {"error": "invalid_grant", "error_description": "PKCE"})
        body = self._issue(f"family-{self._number}", (parts[1], parts[2], parts[3]))
        return 200, "application/json", json.dumps(body).encode()


def _error(status: int, body: dict[str, Any]) -> tuple[int, str, bytes]:
    return status, "application/json", json.dumps(body).encode()
