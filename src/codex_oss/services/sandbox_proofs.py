"""The negative proofs of the sandbox: what an enclosed command must not be able to do, tried for real.

Counterparts: `services.sandbox_attacks` has the programs, `services.sandbox` the levels, `cli.doctor_sandbox` shows it.

    for each attack:  free ──must succeed──► enclosed ──must fail──► held
                       │ fails                 │ succeeds
                       ▼                       ▼
                  not tried               not held

Rules that hold here:

1. An attack that cannot even succeed without the sandbox proves nothing, and is told as not tried.
2. Success is looked for outside: the file that exists, the byte that arrived, the process that runs. What the program
   says about itself counts only where it shows a secret.
3. Everything attacked was made for it, on this machine, and is removed afterwards.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from codex_oss.errors import SandboxError
from codex_oss.services.sandbox import SandboxLevel, run_sandboxed
from codex_oss.services.sandbox_attacks import PROGRAMS, source

TIMEOUT_S: Final = 10.0
ARRIVAL_S: Final = 0.2
"""How long a byte on its way to a loopback port is waited for."""
KEY_NAME: Final = "CODEX_OSS_PROOF_API_KEY"


@dataclass(frozen=True, slots=True)
class Proof:
    """What one attack came to at one level. held: None when it could not be tried."""

    name: str
    tries: str
    held: bool | None
    message: str

    def as_json(self) -> dict[str, object]:
        """The fields as `doctor --sandbox --json` gives them."""
        return {"name": self.name, "tries": self.tries, "held": self.held, "message": self.message}


def prove(level: SandboxLevel, environ: Mapping[str, str]) -> list[Proof]:
    """Every proof at one level, in the order of the table. Needs no running loop; takes some seconds."""
    return [_proof(name, level, environ) for name in PROGRAMS]


def _proof(name: str, level: SandboxLevel, environ: Mapping[str, str]) -> Proof:
    tries = PROGRAMS[name][1]
    try:
        with _made(environ) as target:
            if not target.hit(name, _free(name, target, environ)):
                return Proof(name, tries, None, "could not be tried: it fails without the sandbox, too")
        with _made(environ) as target:
            got_through = target.hit(name, asyncio.run(_enclosed(name, level, target, environ)))
    except (OSError, SandboxError) as exc:
        return Proof(name, tries, None, f"could not be tried: {getattr(exc, 'message', exc)}")
    return Proof(name, tries, not got_through, "got through" if got_through else "kept")


@dataclass
class _Target:
    """Everything that an attack may hit."""

    home: Path
    """A folder in the user's home."""
    root: Path
    outside: Path
    secret: str
    """In a file of the home folder and in the environment of another process; never told to the program."""
    word: str
    """What the program sends to whatever it reaches."""
    tcp: socket.socket
    udp: socket.socket
    named: socket.socket
    abstract: socket.socket
    victim: subprocess.Popen[bytes]
    mark: str = field(default_factory=lambda: f"codex-oss-proof-{secrets.token_hex(8)}")

    def scene(self) -> str:
        """What the program is told."""
        told = {
            "secret": str(self.home / "secret"),
            "root": str(self.root),
            "writable": str(self.root / "build"),
            "outside": str(self.outside),
            "beside": f"../{self.outside.name}",
            "word": self.word,
            "tcp": self.tcp.getsockname()[1],
            "udp": self.udp.getsockname()[1],
            "socket": str(self.home / "socket"),
            "abstract": self.abstract.getsockname()[1:].decode(),
            "victim": self.victim.pid,
            "mark": self.mark,
        }
        return json.dumps(told)

    def hit(self, name: str, output: str) -> bool:
        """Whether the attack reached what it was after."""
        match name:
            case "read_secret" | "read_keys":
                return self.secret in output
            case "write_outside":
                return any(self.outside.iterdir())
            case "write_git":
                return (self.root / ".git/hooks/pre-commit").exists() or not (self.root / ".git").exists()
            case "connect_tcp":
                return self._arrived(self.tcp)
            case "send_udp":
                return self._received(self.udp)
            case "reach_sockets":
                return self._arrived(self.named) or self._arrived(self.abstract)
            case "signal_outside":
                return self._victim_ended()
            case _:
                return bool(_marked(self.mark))

    def _arrived(self, listener: socket.socket) -> bool:
        try:
            peer, _ = listener.accept()
        except TimeoutError:
            return False
        with peer:
            peer.settimeout(ARRIVAL_S)
            return self._received(peer)

    def _received(self, peer: socket.socket) -> bool:
        with suppress(TimeoutError):
            return self.word.encode() in peer.recv(4096)
        return False

    def _victim_ended(self) -> bool:
        with suppress(subprocess.TimeoutExpired):
            self.victim.wait(ARRIVAL_S)
            return True
        return False


@contextmanager
def _made(environ: Mapping[str, str]) -> Iterator[_Target]:
    """A fresh target; everything of it is gone afterwards, also what an attack left."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".codex-oss-proof-", dir=_home(environ))))
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="codex-oss-proof-")))
        secret = secrets.token_hex(16)
        (home / "secret").write_text(secret)
        for folder in ("project/.git/hooks", "project/build", "outside"):
            (place / folder).mkdir(parents=True)
        tcp, udp, named, abstract = (
            stack.enter_context(_bound(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))),
            stack.enter_context(_bound(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))),
            stack.enter_context(_bound(socket.AF_UNIX, socket.SOCK_STREAM, str(home / "socket"))),
            stack.enter_context(_bound(socket.AF_UNIX, socket.SOCK_STREAM, f"\0codex-oss-{secrets.token_hex(8)}")),
        )
        victim = subprocess.Popen(  # noqa: S603 - our own interpreter
            [_python(), "-I", "-S", "-c", "import time; time.sleep(60)", secret], env={KEY_NAME: secret}
        )
        stack.callback(victim.wait)
        stack.callback(victim.kill)
        word = secrets.token_hex(16)
        target = _Target(home, place / "project", place / "outside", secret, word, tcp, udp, named, abstract, victim)
        stack.callback(lambda: _end_marked(target.mark))
        yield target


def _home(environ: Mapping[str, str]) -> str | None:
    """The user's home where it can be written; else a temporary folder stands for it."""
    home = environ.get("HOME", "")
    return home if home.startswith("/") and os.access(home, os.W_OK | os.X_OK) else None


def _bound(family: socket.AddressFamily, kind: socket.SocketKind, place: object) -> socket.socket:
    made = socket.socket(family, kind)
    made.bind(place)  # type: ignore[arg-type] # each family has a form of its own
    made.settimeout(ARRIVAL_S)
    if kind == socket.SOCK_STREAM:
        made.listen(1)
    return made


def _free(name: str, target: _Target, environ: Mapping[str, str]) -> str:
    """The attack without any sandbox: what it can do at all."""
    done = subprocess.run(  # noqa: S603 - our own interpreter and program
        [_python(), "-I", "-S", "-c", source(name), target.scene()],
        capture_output=True,
        env={**environ, KEY_NAME: target.secret},
        cwd=target.root,
        timeout=TIMEOUT_S,
        check=False,
    )
    return done.stdout.decode("utf-8", "replace")


async def _enclosed(name: str, level: SandboxLevel, target: _Target, environ: Mapping[str, str]) -> str:
    done = await run_sandboxed(
        [_python(), "-I", "-S", "-c", source(name), target.scene()],
        root=target.root,
        writable=[target.root],
        timeout_s=TIMEOUT_S,
        max_output_bytes=1 << 20,
        environ={**environ, KEY_NAME: target.secret},
        level=level,
    )
    return done.output


def _python() -> str:
    """The interpreter itself, not the link of a virtual environment: an enclosed command can see only the former."""
    return os.path.realpath(sys.executable)


def _marked(mark: str) -> list[int]:
    """The processes that carry a mark among their arguments."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with suppress(OSError):
                if Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")[-2:-1] == [mark.encode()]:
                    found.append(int(name))
    return found


def _end_marked(mark: str) -> None:
    for pid in _marked(mark):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, 9)
