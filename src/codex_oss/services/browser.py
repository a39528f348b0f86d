"""Opening the person's browser at the sign-in page, where there is one to open.

Counterparts: `cli/login` and `tui` hand `browser_opener` to `services.sign_in`.

Rules that hold here:

1. Only an address of the issuer is opened: http or https, no name or password in it, the very origin.
2. The address is one argument of one program. No shell reads it.
3. Whatever goes wrong is no error: the address is shown anyway.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

OPEN_S: Final = 5.0
OFF: Final = "CODEX_OSS_NO_BROWSER"
PROGRAMS: Final[Mapping[str, tuple[str, ...]]] = {
    "darwin": ("open",),
    "win32": ("rundll32.exe", "url.dll,FileProtocolHandler"),
    "linux": ("xdg-open",),
}
"""`sys.platform` to the program that opens an address, and what stands before the address."""
_REMOTE: Final = ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY")
_SCREENS: Final = ("DISPLAY", "WAYLAND_DISPLAY")


def why_headless(environ: Mapping[str, str], platform: str = sys.platform) -> str:
    """Why no browser of this machine is in front of the person; empty when one is."""
    if any(environ.get(name) for name in _REMOTE):
        return "this is a remote session (SSH)"
    if platform.startswith("linux") and not any(environ.get(name) for name in _SCREENS):
        return "there is no screen (neither DISPLAY nor WAYLAND_DISPLAY is set)"
    return ""


def browser_opener(
    environ: Mapping[str, str], issuer: str, platform: str = sys.platform
) -> Callable[[str], None] | None:
    """What opens an address of the issuer; None where nothing is to be opened: headless, told not to, no program."""
    words = PROGRAMS.get("linux" if platform.startswith("linux") else platform)
    program = shutil.which(words[0], path=environ.get("PATH")) if words else None
    if environ.get(OFF, "").strip() not in ("", "0") or why_headless(environ, platform) or not words or not program:
        return None
    argv = (program, *words[1:])
    return lambda url: _open(argv, url) if may_open(url, issuer) else None


def may_open(url: str, issuer: str) -> bool:
    """Whether an address is one of the issuer's."""
    try:
        asked, ours = urlsplit(url), urlsplit(issuer)
        same = (asked.scheme, asked.hostname, asked.port) == (ours.scheme, ours.hostname, ours.port)
    except ValueError:
        return False
    return same and asked.scheme in ("http", "https") and "@" not in asked.netloc and url.isprintable()


def _open(argv: tuple[str, ...], url: str) -> None:
    """Start the program. One that still runs after OPEN_S has become the browser itself, and is left alone."""
    with suppress(OSError, subprocess.TimeoutExpired):
        process = subprocess.Popen(  # noqa: S603 (an argument vector; the address was checked)
            [*argv, url],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        process.wait(OPEN_S)
