"""The port that a browser comes back to: found free, or freed of a listener that waits for nothing any more.

Counterpart: `services.callback_server` listens on the sockets. Only `accounts.oauth.PORTS` are known to the issuer.

    port 1455 free? ── yes ─► listen
       └ no ─► ask who is there to go (GET /cancel) ── it goes ─► listen
                 └ it stays ─► the next port ─► none is left: the owners, by name

Rules that hold here:

1. 127.0.0.1 and ::1 are both ours or the port is not: `localhost` is either to a browser.
2. Our own listener goes when it waits for nothing, and stays while somebody signs in; that of the official client goes.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from codex_oss.accounts.sign_in_failures import login_failed
from codex_oss.errors import LoginFailed
from codex_oss.services.port_owner import port_owner

HOSTS: Final = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_NO_SUCH_HOST: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})
CANCEL_S: Final = 1.0
REBIND_TRIES: Final = 10
REBIND_S: Final = 0.2


async def bound_sockets(ports: Sequence[int]) -> tuple[int, list[socket.socket]]:
    """The first of these ports that can be had, and its sockets, bound and not yet listening.

    Errors: LoginFailed `login_port_busy`, which names who holds each port.
    """
    owners = []
    for port in ports:
        try:
            found = _bound(port)
            if found is None and await _asked_to_go(port):
                found = await _bound_soon(port)
        except OSError as exc:
            owners.append(f"port {port} cannot be used ({exc.strerror})")
            continue
        if found is not None:
            return found
        owners.append(f"port {port} is held by {await asyncio.to_thread(port_owner, port)}")
    raise _busy(owners)


def _bound(port: int) -> tuple[int, list[socket.socket]] | None:
    """The sockets of this port (0: any); None when somebody has it. Errors: OSError."""
    bound: list[socket.socket] = []
    for family, host in HOSTS:
        try:
            one = socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            continue
        try:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind((host, port))
            # Bound alone, two could share the port by SO_REUSEADDR; who listens has it.
            one.listen(16)
        except OSError as exc:
            one.close()
            if exc.errno in _NO_SUCH_HOST:
                continue
            for other in bound:
                other.close()
            if exc.errno == errno.EADDRINUSE:
                return None
            raise
        bound.append(one)
        port = one.getsockname()[1]
    if not bound:
        raise OSError(errno.EADDRNOTAVAIL, "this machine has no loopback address")
    return port, bound


async def _bound_soon(port: int) -> tuple[int, list[socket.socket]] | None:
    for _ in range(REBIND_TRIES):
        await asyncio.sleep(REBIND_S)
        found = _bound(port)
        if found is not None:
            return found
    return None


async def _asked_to_go(port: int) -> bool:
    """Send /cancel to whoever listens there; whether it agreed. A bare request: the answer's status is all we read."""
    for _, host in HOSTS:
        with suppress(OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            async with asyncio.timeout(CANCEL_S):
                reader, writer = await asyncio.open_connection(host, port)
                try:
                    writer.write(
                        f"GET /cancel HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n".encode()
                    )
                    await writer.drain()
                    head = await reader.readline()
                finally:
                    writer.close()
            if head.split()[1:2] == [b"200"]:
                return True
    return False


def _busy(owners: Sequence[str]) -> LoginFailed:
    return login_failed("login_port_busy", "; ".join(owners))
