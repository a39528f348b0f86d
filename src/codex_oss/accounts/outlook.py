"""One sentence before work begins: whether the account that will answer has quota enough for it.

Counterparts: `accounts.forecast` estimates; `wiring.agent` and `cli/missions` say the sentence.

    quota of ann@x.y (plus): 5h 62% left, weekly 80% left; lasts for 30 min at the pace so far.
    quota of ann@x.y (plus): 5h 3.1% left; 5h may end 18:40, before the 30 min asked for are over; bob@x.y could go on.
    quota of ann@x.y (plus): unknown, the backend has not told it.

Rule: what is not known is said to be unknown; a forecast is never more certain than its two bounds agree.
"""

from __future__ import annotations

from collections.abc import Mapping

from codex_oss.accounts.account import Account
from codex_oss.accounts.book import Book
from codex_oss.accounts.forecast import Forecast, forecast_of, worst
from codex_oss.accounts.quota_record import QuotaRecord
from codex_oss.accounts.quota_text import UNKNOWN, Local, left_text, plain, reset_text
from codex_oss.accounts.selection import choose
from codex_oss.accounts.view import label_of


def outlook_line(book: Book, records: Mapping[str, QuotaRecord], now_s: float, wanted_s: float, local: Local) -> str:
    """The sentence; empty where no account can answer, which the turn itself will say. records: by person key."""
    account = choose(book, {}, int(now_s * 1000)).account
    if account is None:
        return ""
    forecasts = forecast_of(records.get(account.person_key), now_s, wanted_s)
    deciding = worst(forecasts)
    known = [f"{each.window} {left_text(each.left_percent)}" for each in forecasts if each.left_percent is not None]
    if deciding is None or not known:
        return f"quota of {_label(account)}: {UNKNOWN}, the backend has not told it."
    told = _expected(deciding, now_s, wanted_s, local)
    if deciding.verdict in ("may_not_last", "runs_out", "used_up"):
        told += _others(book, records, account, now_s, wanted_s)
    return f"quota of {_label(account)}: {', '.join(known)}; {told}."


def duration_text(seconds: float) -> str:
    """`45 s`, `30 min`, `5 h`, `2 h 30 min`."""
    if seconds < 60:
        return f"{int(seconds)} s"
    hours, minutes = divmod(int(seconds) // 60, 60)
    parts = [f"{hours} h" if hours else "", f"{minutes} min" if minutes else ""]
    return " ".join(part for part in parts if part)


def _expected(forecast: Forecast, now_s: float, wanted_s: float, local: Local) -> str:
    asked, end = duration_text(wanted_s), reset_text(forecast.empty_at, now_s, local)
    match forecast.verdict:
        case "lasts":
            return f"lasts for {asked} at the pace so far"
        case "credits_go_on":
            return "credits go on when the windows are used up"
        case "may_not_last":
            return f"{forecast.window} may end {end}, before the {asked} asked for are over"
        case "runs_out":
            return f"{forecast.window} ends about {end} at the pace so far, before the {asked} asked for are over"
        case "used_up":
            return f"{forecast.window} is used up"
        case "unknown":
            return "whether that lasts is unknown: no pace was observed"


def _others(book: Book, records: Mapping[str, QuotaRecord], account: Account, now_s: float, wanted_s: float) -> str:
    """Who takes over then, as far as anybody knows."""
    for other in book.accounts:
        if other.person_key == account.person_key or other.hindrance(int(now_s * 1000)) is not None:
            continue
        deciding = worst(forecast_of(records.get(other.person_key), now_s, wanted_s))
        if deciding is None or deciding.verdict in ("lasts", "credits_go_on", "unknown"):
            return f"; {_label(other)} could go on"
    return ""


def _label(account: Account) -> str:
    return plain(label_of(account))
