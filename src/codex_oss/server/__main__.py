"""`python -m codex_oss.server`: serve one project until SIGTERM. `codex-oss up` replaces itself by this.

Exit codes: 0 stopped by a signal, 1 could not serve (port in use, bridge already running), 2 asked wrongly.
Counterparts: `server.process` runs the server; `services.instance` keeps a second one away.

Imports of weight come after the socket listens: a bad configuration or a taken port is told in a blink, and a client
that connects early waits in the kernel's queue instead of being refused.
"""

from __future__ import annotations

import argparse
import errno
import logging
import os
import socket
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from codex_oss import __version__
from codex_oss.errors import BridgeError, RequestError

if TYPE_CHECKING:
    from codex_oss.services.instance import Instance
    from codex_oss.services.settings import Settings


class CannotListen(BridgeError):
    """The address cannot be bound."""

    code = "cannot_listen"


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, serve, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m codex_oss.server", description="Serve one project.")
    parser.add_argument("--project", type=Path, default=Path(), metavar="DIR", help="the project's folder")
    parser.add_argument("--port", type=int, metavar="N", help="0 picks a free port")
    parser.add_argument("--host", metavar="H", help="address to listen on")
    options = parser.parse_args(argv)
    # No line shows thread, process or place in the source, so they need not be found out for each (Logging HOWTO).
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        serve(options.project, {"port": options.port, "host": options.host})
    except BridgeError as exc:
        sys.stderr.write(f"error: {exc.message}\n" + (f"hint: {exc.hint}\n" if exc.hint else ""))
        return 2 if isinstance(exc, RequestError) else 1
    return 0


def serve(project: Path, flags: dict[str, object]) -> None:
    """Serve *project* until a signal. flags: configuration fields, None meaning "not given"."""
    from codex_oss.services.instance import own_project
    from codex_oss.services.settings import read_settings

    project = project.resolve()
    if not project.is_dir():
        raise RequestError(f"{project} is not a folder.", hint="Give the project's folder with --project.")
    settings = read_settings(project, flags, os.environ)
    with own_project(project) as instance, listen(settings.config.host, settings.config.port) as sock:
        _run(project, settings, sock, instance)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises CannotListen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(2048)
    except OSError as exc:
        sock.close()
        if exc.errno == errno.EADDRINUSE:
            hint = "Stop what uses it, or choose another: --port N, or --port 0 for any free one."
            raise CannotListen(f"Port {port} on {host} is already in use.", hint=hint) from exc
        raise CannotListen(f"Cannot listen on {host}:{port}: {exc.strerror or exc}.") from exc
    return sock


def _run(project: Path, settings: Settings, sock: socket.socket, instance: Instance) -> None:
    from codex_oss.server.app import Application, Identity
    from codex_oss.server.log_lines import redact_log
    from codex_oss.server.open_turns import OpenTurns
    from codex_oss.server.process import BridgeServer
    from codex_oss.services.source import source_hash
    from codex_oss.wiring.bridge import build

    bridge = build(settings, project, os.environ)
    redact_log(bridge.redactor)
    port = sock.getsockname()[1]
    identity = Identity(
        version=__version__,
        pid=os.getpid(),
        host=settings.config.host,
        port=port,
        project_root=str(project),
        source_hash=source_hash(),
        started_at=time.time(),
    )
    turns = OpenTurns()

    def announce() -> None:
        instance.announce(asdict(identity))
        host = settings.config.host
        sys.stdout.write(f"listening on http://{f'[{host}]' if ':' in host else host}:{port}/v1\n")
        sys.stdout.flush()

    app = Application(bridge, identity, turns).asgi()
    BridgeServer(app, bridge, turns, announce=announce, withdraw=instance.withdraw).serve_on(sock)


if __name__ == "__main__":
    sys.exit(main())
