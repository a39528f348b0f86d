"""Models and usage of a rude stand-in for the ChatGPT backend: `…/codex/models`, `…/wham/usage`, `…/codex/usage`.

    with ChatGptCatalog() as backend:
        ...                                    # CODEX_OSS_CHATGPT_BASE_URL is backend.url
        backend.models["acc1"] = [entry("gpt-5")]
        backend.trouble["wham/usage"] = [challenge()]

Mounted in another fake: `answer(path, query, headers)`. What is rude about it, each seen in public reports:

1. Without `client_version` the list of models is a 400. With `0.0.0` all models are listed, with a real version only
   those that it may know.
2. Answers have no content type, hidden models stand among the others, and windows stand in any place.
3. `codex/usage` wants an originator; `wham/usage` may be closed to everybody.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from msgspec import Struct

BASE = "/backend-api/"


class Reply(Struct, frozen=True):
    """An answer as it goes out."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = {}


class Seen(Struct, frozen=True):
    """A request. headers: names in lower case."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]


def entry(slug: str, **more: Any) -> dict[str, Any]:
    """A model as the backend lists it."""
    return {
        "slug": slug,
        "display_name": slug.upper(),
        "visibility": "list",
        "supported_in_api": True,
        "priority": 10,
        "context_window": 272_000,
        "base_instructions": "You are a coding agent.",
        "shell_type": "shell_command",
        **more,
    }


def usage(primary: Mapping[str, Any] | None = None, secondary: Mapping[str, Any] | None = None, **more: Any) -> Any:
    """A body of the usage endpoint."""
    return {"rate_limit": {"primary_window": primary, "secondary_window": secondary}, **more}


def challenge() -> Reply:
    """The page of somebody in between who thinks that we are a robot."""
    page = b"<!doctype html><title>Just a moment...</title>"
    return Reply(403, page, {"content-type": "text/html", "cf-mitigated": "challenge"})


class ChatGptCatalog:
    """The endpoints and all that they know, by account id; "" stands for every other account."""

    def __init__(self) -> None:
        self.models: dict[str, list[Any]] = {"": [entry("gpt-5"), entry("gpt-secret", visibility="hide")]}
        self.usage: dict[str, Any] = {"": usage({"used_percent": 12.5, "limit_window_seconds": 18_000})}
        self.with_etag = True
        self.models_need_version = False
        """Whether `0.0.0` is refused."""
        self.wham_closed = False
        self.trouble: dict[str, list[Reply]] = {}
        """Path to what is answered there instead, one after the other."""
        self.seen: list[Seen] = []
        self.url = ""
        self._server: ThreadingHTTPServer | None = None

    def __enter__(self) -> ChatGptCatalog:
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                headers = {name.lower(): value for name, value in self.headers.items()}
                reply = backend.answer(parts.path.removeprefix(BASE), query, headers)
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(reply.body)))
                self.end_headers()
                with suppress(OSError):  # whoever asked may be gone
                    self.wfile.write(reply.body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}{BASE.rstrip('/')}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    def asked(self, path: str) -> list[Seen]:
        """The requests to one path."""
        return [seen for seen in self.seen if seen.path == path]

    def etag(self, account: str) -> str:
        """The tag of an account's list; empty where none is sent."""
        listed = json.dumps(self.models.get(account, self.models[""]))
        return f'"{hashlib.sha256(listed.encode()).hexdigest()[:12]}"' if self.with_etag else ""

    def answer(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        """One request. path: below `/backend-api/`; headers: names in lower case."""
        self.seen.append(Seen(path, dict(query), dict(headers)))
        if self.trouble.get(path):
            return self.trouble[path].pop(0)
        account = headers.get("chatgpt-account-id", "")
        if not headers.get("authorization", "").startswith("Bearer ") or not account:
            return _json(401, {"error": {"code": "token_expired", "message": ""}})
        if path == "codex/models":
            return self._listed(account, query, headers)
        if path == "wham/usage" and self.wham_closed:
            return _json(403, {"detail": "Forbidden"})
        if path == "codex/usage" and not headers.get("originator"):
            return _json(400, {"detail": "Bad Request"})
        told = self.usage.get(account, self.usage.get(""))
        if path in ("wham/usage", "codex/usage") and told is not None:
            return _json(200, told)
        return _json(404, {"detail": "Not Found"})

    def _listed(self, account: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        version = query.get("client_version")
        if not version:
            return _json(400, {"detail": [{"loc": ["query", "client_version"], "msg": "Field required"}]})
        if version == "0.0.0" and self.models_need_version:
            return _json(400, {"detail": "Unsupported client version"})
        etag = self.etag(account)
        tagged = {"etag": etag} if etag else {}
        if etag and headers.get("if-none-match") == etag:
            return Reply(304, b"", tagged)
        return _json(200, {"models": self.models.get(account, self.models[""])}, tagged)


def _json(status: int, body: Any, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, json.dumps(body).encode(), headers or {})
