"""`codex-oss requests`: what came in, who answered, what it cost and how long it took.

Counterpart: `services/request_history.py` reads the log; no running bridge is needed.

Rules that hold here:

1. `--json` prints the records as they are, one JSON object a line (docs/observability.md has the fields).
2. The table is for people: local time, aligned, colours on a terminal only, nothing of a client unescaped.
3. A pipe that is closed by its reader (`| head`) and Ctrl-C while following are ordinary ends.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from codex_oss.cli.options import project_option

if TYPE_CHECKING:
    from codex_oss.services.request_record import RequestRecord

OUTCOMES: Final = ("completed", "incomplete", "failed", "refused", "cancelled")
COLOURS: Final = {"incomplete": "yellow", "failed": "red", "refused": "red", "cancelled": "yellow"}
UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
AGE: Final = re.compile(r"(\d{1,6})([smhd])")
COLUMNS: Final[tuple[tuple[str, int], ...]] = (
    ("time", 8),
    ("outcome", 10),
    ("model", 24),
    ("input", 8),
    ("cached", 6),
    ("output", 7),
    ("first", 7),
    ("total", 8),
    ("session", 10),
    ("client", 22),
    ("note", 0),
)
RIGHT: Final = ("input", "cached", "output", "first", "total")


@click.command(
    epilog="Example: codex-oss requests --since 1h --outcome failed",
)
@click.option(
    *("-n", "--last", "count"),
    type=click.IntRange(1, 100_000),
    default=20,
    show_default=True,
    metavar="N",
    help="How many.",
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes in, until Ctrl-C.")
@click.option("--model", metavar="NAME", help="Only of this model: as asked for, its profile, or its upstream id.")
@click.option("--outcome", type=click.Choice(OUTCOMES), multiple=True, help="Only with this outcome; repeatable.")
@click.option("--session", metavar="ID", help="Only of the session or thread whose id begins so.")
@click.option("--since", metavar="TIME", help="Only since then: 90s, 10m, 2h, 3d, or an ISO time.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@project_option
def requests(
    project: Path,
    count: int,
    follow: bool,
    model: str | None,
    outcome: tuple[str, ...],
    session: str | None,
    since: str | None,
    as_json: bool,
) -> None:
    """List the requests that the bridge answered or refused.

    Who asked for which model, who answered and why, tokens, times and errors; never a word of a prompt or an answer.
    Works without a running bridge. `codex-oss requests --json | jq` has every field.
    """
    from codex_oss.errors import StoreError
    from codex_oss.services.request_history import follow_records, last_records
    from codex_oss.services.settings import read_config

    named = read_config(project, {}, os.environ).request_log
    path = project / named
    fits = _filter(model, outcome, session)
    try:
        coming = follow_records(path, fits) if follow else iter(())  # from before the look back: nothing is missed
        found = last_records(path, count, fits, since=_since(since) if since else "")
        if not found and not follow and not as_json:
            click.echo(_nothing(path.exists(), named, filtered=bool(model or outcome or session or since)))
            return
        _print(found, as_json, head=True)
        sys.stdout.flush()
        shown = set(found)
        for record in coming:
            if record not in shown:
                _print([record], as_json)
                sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the pipe has gone; Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as exc:
        raise StoreError(f"The request log {path} cannot be read: {exc.strerror}.") from exc


def _filter(model: str | None, outcomes: tuple[str, ...], session: str | None) -> Callable[[RequestRecord], bool]:
    def fits(record: RequestRecord) -> bool:
        names = (record.model, record.profile, record.profile_asked, record.upstream_model)
        return (
            (model is None or model in names)
            and (not outcomes or record.outcome in outcomes)
            and (session is None or record.session.startswith(session) or record.thread.startswith(session))
        )

    return fits


def _since(text: str) -> str:
    """An ISO time as in the records. Raises InvalidRequest for what is neither an age nor a time."""
    from datetime import UTC, datetime, timedelta

    from codex_oss.errors import InvalidRequest

    try:
        if age := AGE.fullmatch(text):
            at = datetime.now(UTC) - timedelta(seconds=int(age[1]) * UNITS[age[2]])
        else:
            at = datetime.fromisoformat(text).astimezone(UTC)
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError):
        raise InvalidRequest(
            f"--since {text[:40]!r} is no time.", hint="Say 90s, 10m, 2h, 3d, or 2026-11-21T15:00."
        ) from None


def _nothing(exists: bool, path: str, *, filtered: bool) -> str:
    if exists:
        return "No request fits." if filtered else "The request log is empty."
    return f"No request yet: {path} is written when the bridge has answered or refused one."


def _print(records: Iterable[RequestRecord], as_json: bool, *, head: bool = False) -> None:
    from codex_oss.services.request_record import encode_record

    if as_json:
        for record in records:
            sys.stdout.write(encode_record(record).decode())
        return
    if head:
        click.echo(_line({name: name for name, _ in COLUMNS}))
    for record in records:
        click.echo(click.style(_line(_cells(record)), fg=COLOURS.get(record.outcome)))


def _line(cells: dict[str, str]) -> str:
    """One aligned line; a cell that is too long keeps its begin."""
    from codex_oss.policy.printable import INVISIBLE

    parts = []
    for name, width in COLUMNS:
        text = cells[name].translate(INVISIBLE).replace("\t", " ")
        if width and len(text) > width:
            text = text[: width - 1] + "…"
        parts.append(text.rjust(width) if name in RIGHT else text.ljust(width))
    return " ".join(parts).rstrip()


def _cells(record: RequestRecord) -> dict[str, str]:
    tokens, timings = record.tokens, record.timings
    known = tokens.cached is not None and tokens.input
    return {
        "time": _local(record.time),
        "outcome": record.outcome,
        "model": record.model or "-",
        "input": _number(tokens.input, estimated=tokens.estimated),
        "cached": f"{(tokens.cached or 0) / (tokens.input or 1):.0%}" if known else "-",
        "output": _number(tokens.output, estimated=tokens.estimated),
        "first": _seconds(timings.first_batch_s),
        "total": _seconds(timings.total_s),
        "session": record.session or "-",
        "client": record.client or "-",
        "note": ", ".join(_notes(record)),
    }


def _notes(record: RequestRecord) -> list[str]:
    """What is out of the ordinary, and which account answered."""
    attempts = () if isinstance(record.attempts, int) else record.attempts
    accounts = [_shown_account(attempt.account) for attempt in attempts]
    rows = (
        (bool(record.error_code), record.error_code),
        (record.deviation, f"answered by {record.profile or record.upstream_model} ({record.reason})"),
        (bool(accounts), f"by {accounts[-1]}" if accounts else ""),
        (record.tries > 1, f"{record.tries} attempts"),
        (record.cache.warned, f"cache: {record.cache.cause}"),
        (bool(record.dropped_tools), f"left out: {' '.join(record.dropped_tools)}"),
    )
    return [words for so, words in rows if so]


def _shown_account(key: str) -> str:
    """The e-mail in a key `accountId|email|plan`; the key where there is none."""
    parts = key.split("|")
    return parts[1] if len(parts) == 3 and parts[1] else key


def _local(time: str) -> str:
    from datetime import datetime

    try:
        return datetime.fromisoformat(time).astimezone().strftime("%H:%M:%S")
    except (ValueError, OverflowError):
        return time


def _number(number: int | None, *, estimated: bool) -> str:
    return "-" if number is None else f"{'~' if estimated else ''}{number}"


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f} s"
