"""Routes that do without the framework: a look into a dict in place of its middleware, for where turns come in.

Counterparts: `server.access` has let the request in before, `server.app` names the handlers; the framework has the same
routes, for other methods and for the table that a reader expects.

    POST to a path of ours ─► handler(Request) ─► answer ─┐
                                  └─ error ─► the same answer as everywhere ─┴─► the client
    anything else ─► the framework

Measured: Starlette's routing, middleware and wrapped `send` are a tenth of the instructions of a turn.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

Handler = Callable[[Request], Awaitable[ASGIApp]]
OnError = Callable[[Request, Exception], Awaitable[ASGIApp]]


class ShortRoutes:
    """The layer. app: the framework. posts: path to handler. on_error: the answer for whatever a handler raises."""

    def __init__(self, app: ASGIApp, posts: Mapping[str, Handler], on_error: OnError) -> None:
        self._app = app
        self._posts = posts
        self._on_error = on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or let it by."""
        post = scope["type"] == "http" and scope["method"] == "POST"
        handler = self._posts.get(scope["path"]) if post else None
        if handler is None:
            await self._app(scope, receive, send)
            return
        http = Request(scope, receive)
        try:
            answer = await handler(http)
        except Exception as exc:
            answer = await self._on_error(http, exc)
        await answer(scope, receive, send)
