"""The checks of `doctor` that look at the user's ChatGPT accounts.

Counterparts: `cli.doctor` and `cli.account_doctor` run them; `services.account_store` keeps what they look at.

Rules that hold here:

1. A check reads and never writes: a damaged book is not put aside, no lock is made, no token is spent.
2. Where there is neither a book nor anything put aside, no check of them says anything.
3. E-mails and instants are shown, tokens never.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Final

from codex_oss.accounts.account import Account
from codex_oss.accounts.book import Book
from codex_oss.accounts.oauth import PORTS
from codex_oss.accounts.shapes import ShapeUnknown, claims_of, decoded
from codex_oss.accounts.view import label_of
from codex_oss.cli.account_naming import command
from codex_oss.cli.account_table import shown
from codex_oss.cli.doctor_checks import Check, Finding, Findings, Scene, failed, passed, warned
from codex_oss.errors import StoreError
from codex_oss.services.account_folder import FILE_NAME, accounts_folder
from codex_oss.services.account_store import MAX_BYTES, exclusive
from codex_oss.services.port_owner import is_taken, port_owner
from codex_oss.services.state_files import read_plain

LOCK_WAIT_S: Final = 1.0
SKEW_S: Final = 60.0
"""Above this, a clock makes tokens look fresh that are not, or the other way round."""
NETWORK_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Shelf:
    """What lies in the folder of the accounts. book: None where the file is missing or damaged."""

    folder: Path
    book: Book | None
    problem: str = ""


def check_modes(shelf: Shelf) -> Findings:
    """Nobody else on this machine can read credentials."""
    open_ones = [path for path in _private_paths(shelf.folder) if _open_to_others(path)]
    foreign = [path for path in _private_paths(shelf.folder) if path.lstat().st_uid != os.geteuid()]
    if foreign:
        yield failed(f"{foreign[0]} belongs to another user", "Move it away, then sign in again: codex-oss login")
    elif open_ones:
        names = ", ".join(str(path) for path in open_ones)
        yield failed(f"others can read {names}", f"chmod -R go-rwx {shelf.folder}")
    else:
        yield passed(f"{shelf.folder} is for its owner only")


def check_book(shelf: Shelf) -> Findings:
    """The book can be read."""
    if shelf.problem:
        yield failed(shelf.problem, "Mend the file, or sign in again: codex-oss login (the damaged one is kept).")
    elif shelf.book is not None:
        yield passed(f"{shelf.folder / FILE_NAME} can be read, accounts in it: {len(shelf.book.accounts)}")


def check_lock(shelf: Shelf) -> Findings:
    """Nobody keeps the book locked for longer than a change takes."""
    lock = shelf.folder / f"{FILE_NAME}.lock"
    if not lock.exists():
        return
    try:
        with exclusive(lock, LOCK_WAIT_S):
            yield passed("the book is not locked by anybody")
    except StoreError as exc:
        yield failed(exc.message, f"Find who holds it (fuser {lock}) and end it; a process that is gone holds nothing.")


def check_quarantine(shelf: Shelf) -> Findings:
    """Damaged books that were put aside are looked at some day."""
    aside = sorted((shelf.folder / "quarantine").glob(f"{FILE_NAME}.*.quarantine.json"))
    if aside:
        fix = "Take out what you miss, then delete them: they hold credentials."
        yield warned(f"{len(aside)} damaged books lie in {shelf.folder / 'quarantine'}", fix)
    else:
        yield passed("no damaged book was put aside")


def check_twins(shelf: Shelf) -> Findings:
    """No account stands in the book twice, and none without a name."""
    accounts = shelf.book.accounts if shelf.book else ()
    pairs = [(one, two) for one, two in combinations(accounts, 2) if _why_twins(one, two)]
    for one, two in pairs:
        older = min((one, two), key=lambda account: (account.credential.expires_ms, account.key))
        yield warned(f"{_named(one)} and {_named(two)} are {_why_twins(one, two)}", command("remove", older.key))
    for account in accounts:
        if not (account.email and account.account_id):
            yield warned(f"nothing says whose account {shown(account.key)} is", "Sign in with it: codex-oss login")
    if accounts and not pairs:
        yield passed("every account stands in the book once")


def check_clock(shelf: Shelf) -> Findings:
    """This clock and the one of the sign-in service agree: what tokens say of themselves is held against both."""
    now_s = time.time()
    skews = [skew for account in (shelf.book.accounts if shelf.book else ()) for skew in _skews(account, now_s)]
    worst = max(skews, key=abs, default=0.0)
    if abs(worst) > SKEW_S:
        which = "ahead of" if worst > 0 else "behind"
        fix = "Set the clock: timedatectl set-ntp true"
        yield warned(f"this clock is about {abs(worst):.0f} s {which} that of the sign-in service", fix)
    elif skews:
        yield passed("the clock agrees with what tokens say")


def check_usable(shelf: Shelf) -> Findings:
    """Somebody can answer, and who cannot is named with the way back."""
    accounts, now_ms = (shelf.book.accounts if shelf.book else ()), int(time.time() * 1000)
    for account in accounts:
        match account.hindrance(now_ms):
            case "needs_login":
                yield warned(f"{_named(account)} needs a login", "codex-oss login")
            case "workspace_unavailable":
                message = f"the workspace of {_named(account)} does not let it in ({shown(account.workspace.why)})"
                yield warned(message, "Ask who runs the workspace, then: codex-oss login")
            case _:
                pass
    if any(account.switch.enabled and not account.needs_login for account in accounts):
        yield passed("an account can answer")
    elif accounts and not any(account.switch.enabled for account in accounts):
        yield failed("every account is disabled", command("enable", accounts[0].key))
    elif accounts:
        yield failed("no account can answer", "codex-oss login")
    elif shelf.book is not None:
        yield warned("there is no account", "codex-oss login")


def check_port(scene: Scene) -> Findings:
    """A browser that signs in finds its way back: the issuer sends it to one of two ports."""
    taken = [port for port in PORTS if is_taken(port)]
    if not taken:
        yield passed(f"port {PORTS[0]} is free for the way back of a sign-in")
        return
    owners = ", ".join(f"{port_owner(port)} listens on {port}" for port in taken)
    if len(taken) == len(PORTS):
        yield warned(f"{owners}; a browser cannot come back here", "End one of them, or: codex-oss login --device")
    else:
        yield passed(f"{owners}; a sign-in takes the other port")


def check_issuer(scene: Scene) -> Findings:
    """The sign-in service answers, and its clock agrees with ours."""
    import urllib.error
    import urllib.request
    from email.utils import parsedate_to_datetime

    from codex_oss.wiring.accounts import issuer_base

    base = issuer_base(scene.environ)
    asked = urllib.request.Request(base, method="HEAD")  # noqa: S310 (a constant, or an address of this machine)
    try:
        with urllib.request.urlopen(asked, timeout=NETWORK_S) as answer:  # noqa: S310
            date = answer.headers.get("date", "")
    except urllib.error.HTTPError as exc:
        date = exc.headers.get("date", "")
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "reason", None) or exc
        yield failed(f"{base} cannot be reached: {reason}", "Check the network, the proxy and the name server.")
        return
    yield passed(f"{base} answers")
    try:
        skew_s = time.time() - parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return
    if abs(skew_s) > SKEW_S:
        yield warned(
            f"its clock and this one are {abs(skew_s):.0f} s apart", "timedatectl set-ntp true", "accounts.clock"
        )


def check_lane(scene: Scene) -> Findings:
    """GPT models have somebody who answers, where accounts are to answer."""
    from codex_oss.services.account_pool import none_ready

    if scene.config.gpt_strategy != "accounts":
        return
    shelf, now_ms = look_at(scene), int(time.time() * 1000)
    book = shelf.book if shelf is not None and shelf.book is not None else Book()
    ready = [account for account in book.accounts if account.hindrance(now_ms) is None]
    if ready:
        yield passed(f"{len(ready)} of {len(book.accounts)} accounts can answer gpt-* models")
    else:
        told = none_ready(book, now_ms)
        yield failed(f"gpt-* models are refused: {told.message}", told.hint)


def check_identity(scene: Scene) -> Findings:
    """The backend is told who asks."""
    if scene.config.gpt_strategy == "accounts" and scene.config.account_identity != "codex-oss":
        yield warned(
            "the backend is told that the official client asks",
            "Unset CODEX_OSS_ACCOUNT_IDENTITY, unless you mean it and may do so.",
        )


def look_at(scene: Scene) -> Shelf | None:
    """What there is; None where nobody ever signed in."""
    folder = accounts_folder(scene.environ)
    if folder is None:
        return None
    path = folder / FILE_NAME
    if not os.path.lexists(path) and not (folder / "quarantine").is_dir():
        return None
    try:
        return Shelf(folder, decoded(read_plain(path, MAX_BYTES)))
    except FileNotFoundError:
        return Shelf(folder, None)
    except ShapeUnknown:
        return Shelf(folder, None, f"{path} is damaged: it is no JSON object")
    except OSError as exc:
        return Shelf(folder, None, f"{path} cannot be read: {exc.strerror or exc}")


def _of_shelf(check: Callable[[Shelf], Findings]) -> Callable[[Scene], Findings]:
    def look(scene: Scene) -> Iterator[Finding]:
        shelf = look_at(scene)
        if shelf is not None:
            yield from check(shelf)

    return look


def _private_paths(folder: Path) -> list[Path]:
    beside = [folder, folder / "cache", folder / "quarantine"]
    found = [*beside, *folder.glob(f"{FILE_NAME}*"), *folder.glob("refresh-*.lock"), *folder.glob("*/codex-*.json*")]
    return [path for path in found if os.path.lexists(path)]


def _open_to_others(path: Path) -> bool:
    return not path.is_symlink() and bool(stat.S_IMODE(path.lstat().st_mode) & 0o077)


def _why_twins(one: Account, two: Account) -> str:
    """What two accounts are together; empty for two that are none."""
    if one.credential.refresh and one.credential.refresh == two.credential.refresh:
        return "one login in two places: the first renewal ends the other"
    if one.user_id and (one.user_id, one.account_id) == (two.user_id, two.account_id):
        return "one person in one workspace, twice"
    return ""


def _skews(account: Account, now_s: float) -> Iterator[float]:
    """How far our clock seems ahead: the end that we computed against the one in the token; a token of the future."""
    claims = claims_of(account.credential.access)
    ends_s, made_s = claims.get("exp"), claims.get("iat")
    if isinstance(ends_s, int | float) and account.credential.expires_ms:
        yield account.credential.expires_ms / 1000 - ends_s
    if isinstance(made_s, int | float) and made_s > now_s:
        yield now_s - made_s


def _named(account: Account) -> str:
    return shown(label_of(account))


ACCOUNT_CHECKS: Final[tuple[Check, ...]] = (
    Check("accounts.private", _of_shelf(check_modes)),
    Check("accounts.store", _of_shelf(check_book)),
    Check("accounts.lock", _of_shelf(check_lock)),
    Check("accounts.quarantine", _of_shelf(check_quarantine)),
    Check("accounts.twins", _of_shelf(check_twins)),
    Check("accounts.clock", _of_shelf(check_clock)),
    Check("accounts.usable", _of_shelf(check_usable)),
    Check("accounts.lane", check_lane),
    Check("accounts.identity", check_identity),
    Check("accounts.port", check_port),
)
ACCOUNT_NETWORK_CHECKS: Final[tuple[Check, ...]] = (Check("accounts.issuer", check_issuer),)
