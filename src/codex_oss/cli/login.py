"""`codex-oss login`: sign in with a ChatGPT account, in a browser, on another device, or by pasting.

Counterparts: `services.sign_in` does it, `cli/logout` takes it back; docs/sign-in.md.

Rules that hold here:

1. stdout has two kinds of lines: with `--no-open` the address (and the user code), and last the key of the account.
   Everything else is on stderr.
2. No token is printed. The full address, state and all, is shown to the person alone and logged nowhere.
3. Another program's sign-in is brought in only when its file is named, after a warning and a question.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import click

from codex_oss.cli.asking import agreed
from codex_oss.policy.printable import printable

if TYPE_CHECKING:
    from codex_oss.accounts.account import Account
    from codex_oss.services.sign_in import DevicePrompt
    from codex_oss.wiring.accounts import Accounts

Way = Literal["browser", "device", "paste"]
INTERRUPTED: Final = 130


@click.command(epilog="Example: codex-oss login --device")
@click.option("--browser", is_flag=True, help="Sign in with a browser on this machine.")
@click.option("--device", is_flag=True, help="Type a short code on any device; the default where no browser is.")
@click.option("--paste", is_flag=True, help="Sign in with any browser, and paste the address that it ends at.")
@click.option("--no-open", is_flag=True, help="Open nothing; print the address, and the user code, on stdout.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help="Let the browser come back to this port. For tests: the issuer knows 1455 and 1457 only.",
)
@click.option(
    *("--import", "import_file"),
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Bring in the auth.json of the Codex CLI or of OpenCode instead.",
)
@click.option("--yes", "-y", is_flag=True, help="With --import: do not ask.")
def login(
    browser: bool,
    device: bool,
    paste: bool,
    no_open: bool,
    port: int | None,
    import_file: Path | None,
    yes: bool,
) -> None:
    """Sign in with a ChatGPT account.

    Opens a browser where there is one, else shows a code to type on another device. Sign in again with another account
    to have several. The last line on stdout is the account's key.

    Exit status: 0 an account was stored, 1 none was, 2 asked wrongly.
    """
    from codex_oss.wiring.accounts import open_accounts

    table: tuple[tuple[Way, bool], ...] = (("browser", browser), ("device", device), ("paste", paste))
    ways = [way for way, asked in table if asked]
    if len(ways) > 1:
        raise click.UsageError("Choose one of --browser, --device and --paste.")
    if port is not None and device:
        raise click.UsageError("--port is for --browser and --paste: by device code nothing comes back here.")
    if import_file and (ways or no_open or port is not None):
        raise click.UsageError("--import takes none of the other ways.")
    accounts = open_accounts(os.environ)
    if import_file:
        _bring_in(accounts, import_file, yes=yes)
        return
    way = ways[0] if ways else _usual_way(port)
    try:
        account = asyncio.run(_signed_in(accounts, way, no_open=no_open, port=port))
    except KeyboardInterrupt:
        click.echo("The sign-in was cancelled.", err=True)
        sys.exit(INTERRUPTED)
    _tell(accounts, account)


def _usual_way(port: int | None) -> Way:
    """The way that fits this machine."""
    from codex_oss.services.browser import why_headless

    reason = why_headless(os.environ)
    if reason and port is None:
        _say(f"By device code, as {reason}. With a browser here: --browser; with one elsewhere: --paste.")
        return "device"
    return "browser"


async def _signed_in(accounts: Accounts, way: Way, *, no_open: bool, port: int | None) -> Account:
    from codex_oss.accounts.oauth import ISSUER, PORTS
    from codex_oss.cli.typed_lines import TypedLines, may_type
    from codex_oss.services.browser import browser_opener

    opener = None if no_open else browser_opener(os.environ, accounts.issuer_base)
    if port is not None and port not in PORTS and accounts.issuer_base == ISSUER:
        _say(f"The sign-in service sends browsers back to port {PORTS[0]} or {PORTS[1]} only, not to {port}.")
    try:
        if way == "device":
            return await accounts.sign_in.by_device(_device_shower(no_open, opener))
        if way == "paste":
            lines = TypedLines(sys.stdin.fileno())
            show = _shower(no_open, "When the browser says that it cannot connect, paste the address it is at here:")
            told = PORTS[0] if port is None else port
            return await accounts.sign_in.by_paste(_and_open(show, opener), lines, port=told, complain=_say)
        typed = TypedLines(sys.stdin.fileno()) if may_type() else None
        also = " If it does not come back by itself, paste the address it ends at here." if typed else ""
        show = _shower(no_open, f"Waiting for the browser, for ten minutes at most.{also}")
        ports = PORTS if port is None else (port,)
        return await accounts.sign_in.by_browser(show, ports=ports, open_browser=opener, paste=typed, complain=_say)
    finally:
        await accounts.aclose()


def _shower(no_open: bool, after: str) -> Callable[[str], None]:
    """Shows the address: alone on stdout for a program, among our words for a person."""

    def show(url: str) -> None:
        _say("Sign in at this address:")
        click.echo(url, err=not no_open)
        sys.stdout.flush()
        _say(after)

    return show


def _and_open(show: Callable[[str], None], opener: Callable[[str], None] | None) -> Callable[[str], None]:
    def both(url: str) -> None:
        show(url)
        if opener:
            asyncio.get_running_loop().run_in_executor(None, opener, url)

    return both


def _device_shower(no_open: bool, opener: Callable[[str], None] | None) -> Callable[[DevicePrompt], None]:
    def show(prompt: DevicePrompt) -> None:
        _say("Open this address on any device, and type the code below it:")
        for line in (prompt.url, prompt.user_code):
            click.echo(printable(line), err=not no_open)
        sys.stdout.flush()
        _say("The code is good for ten minutes. Type it only because you asked for it here, just now.")
        if opener:
            asyncio.get_running_loop().run_in_executor(None, opener, prompt.url)

    return show


def _tell(accounts: Accounts, account: Account) -> None:
    from codex_oss.accounts.sign_in import clock_skew_s
    from codex_oss.accounts.view import label_of
    from codex_oss.cli.account_table import shown

    skew_s = clock_skew_s(account.credential.access, time.time())
    if skew_s:
        side = "ahead of" if skew_s > 0 else "behind"
        _say(f"The clock of this machine is {abs(skew_s) / 60:.0f} minutes {side} the sign-in service's; set it right.")
    _say(f"Signed in: {shown(label_of(account))}. Its tokens are in {accounts.store.path}, for you alone to read.")
    click.echo(shown(account.key))


def _bring_in(accounts: Accounts, path: Path, *, yes: bool) -> None:
    from codex_oss.accounts.imports import SHARED
    from codex_oss.accounts.view import label_of
    from codex_oss.cli.account_table import shown
    from codex_oss.services.account_import import bring_in, read_accounts

    found = read_accounts(path, int(time.time() * 1000))
    labels = ", ".join(shown(label_of(account)) for account in found.accounts)
    _say(f"{path} ({found.program}) holds: {labels}.")
    _say(f"Warning: {SHARED}")
    if not agreed("Bring in what it holds?", yes=yes):
        _say("Nothing was changed.")
        sys.exit(1)
    done = bring_in(accounts.store, found)
    for account in done.kept:
        _say(f"Kept as it is: {shown(label_of(account))}; what is stored here lasts longer.")
    for account in done.taken:
        _say(f"Brought in: {shown(label_of(account))}.")
    active = done.book.get(done.book.active.person)
    last = [account for account in (*done.kept, *done.taken) if account != active]
    for account in (*last, *([active] if active in (*done.kept, *done.taken) else [])):
        click.echo(shown(account.key))


def _say(text: str) -> None:
    click.echo(printable(text), err=True)
