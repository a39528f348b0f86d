"""The verdict on claims: does the report stand on what was shown, and is what was shown really what the files hold?

Counterparts: `services.audit` asks, `missions.gates` judges the claims again.

| check | FAIL | WARN |
| --- | --- | --- |
| `claims.hold` | the closing says more than the evidence in the log carries | it is open, or judged by older rules |
| `evidence.lines` | a file is the very one that was read, and does not hold the lines that the log shows of it | |
| `evidence.changed` | | a file changed since it was read or searched, or is gone: its lines cannot be read again |

A file that changed since is no false claim, and a false observation is found without any key as long as the file is
the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

from codex_oss.missions.closing import RANK, close_draft
from codex_oss.missions.evidence import Extract
from codex_oss.missions.gates import RULES_VERSION, judge_draft
from codex_oss.missions.record import RunRecord
from codex_oss.missions.report import parse_draft
from codex_oss.policy.exposure import count_placeholders
from codex_oss.policy.printable import INVISIBLE
from codex_oss.services.audit_check import Check
from codex_oss.services.shown_lines import LINE_CUT, lines_of

STATUS_RANK: Final = {"FAILED": 0, "ESCALATE": 0, "PARTIAL": 1, "COMPLETE": 2}
NAMED: Final = 10
"""So many paths are named in one sentence."""


class Source(Struct, frozen=True):
    """A file of the project as it is now."""

    sha256: str
    data: bytes


ReadSource = Callable[[str], Source | None]
"""Path below the project to the file; None when it cannot be read."""


def check_claims(record: RunRecord, read_source: ReadSource) -> Iterator[Check]:
    """All checks of the verdict."""
    yield from _check_closing(record)
    yield from _check_evidence(record, read_source)


def _check_closing(record: RunRecord) -> Iterator[Check]:
    closed = record.closed
    if closed is None:
        yield Check("claims", "claims.hold", "WARN", "The mission is not closed; no claim stands yet.")
        return
    if record.draft is None:
        fault = "COMPLETE without any report" if closed.status == "COMPLETE" else ""
        message = fault or "No report was submitted; the closing claims nothing of the model's."
        yield Check("claims", "claims.hold", "FAIL" if fault else "PASS", message)
        return
    draft = parse_draft(record.draft.draft)
    failures = judge_draft(record, draft)
    deserved = close_draft(record, draft, failures)
    more = STATUS_RANK[closed.status] > STATUS_RANK[deserved.status] or closed.failures != failures
    if more or RANK[closed.confidence] > RANK[deserved.confidence]:
        told, carried = f"{closed.status} ({closed.confidence})", f"{deserved.status} ({deserved.confidence})"
        message = f"The log says {told}, the evidence in it carries {carried}."
        if closed.rules < RULES_VERSION:
            message += f" It was judged by older rules ({closed.rules}, now {RULES_VERSION})."
        yield Check("claims", "claims.hold", "WARN" if closed.rules < RULES_VERSION else "FAIL", message)
        return
    count = len(draft.findings)
    refused = len({failure.finding for failure in failures if failure.finding >= 0})
    yield Check("claims", "claims.hold", "PASS", f"{count - refused} of {count} findings stand on the lines they cite.")


def _check_evidence(record: RunRecord, read_source: ReadSource) -> Iterator[Check]:
    """Each file that was read or found something in, read again: is it the same, and does it hold what was shown?"""
    extracts, found = record.evidence.extracts, _found_lines(record)
    changed, false, count = [], [], 0
    for path in dict.fromkeys((*extracts, *found)):
        source = read_source(path)
        if source is None or any(extract.file_sha256 != source.sha256 for extract in extracts.get(path, ())):
            changed.append(path)
            continue
        lines = lines_of(source.data)
        for extract in extracts.get(path, ()):
            count += len(extract.lines)
            false += [f"{path}:{number}" for number in _differing(extract, lines)]
        count += len(found.get(path, ()))
        # A search notes no digest of the files it looked into: another line there is another file by now.
        if any(not _stands(text, lines, number) for number, text in found.get(path, ())):
            changed.append(path)
    if false:
        message = f"The log shows lines that these very files do not hold: {', '.join(false[:NAMED])}."
        yield Check("claims", "evidence.lines", "FAIL", message)
    if changed:
        message = f"Changed or gone since they were read: {', '.join(changed[:NAMED])}."
        yield Check("claims", "evidence.changed", "WARN", message)
    elif not extracts and not found:
        yield Check("claims", "evidence.changed", "PASS", "No line of a file was shown.")
    elif not false:
        files = len({*extracts, *found})
        message = f"All {files} files shown are unchanged since; {count} lines of them stand there as they were shown."
        yield Check("claims", "evidence.changed", "PASS", message)


def _found_lines(record: RunRecord) -> dict[str, list[tuple[int, str]]]:
    """Path to the numbers and texts of its lines that searches showed."""
    found: dict[str, list[tuple[int, str]]] = {}
    for run in record.evidence.commands:
        for match in (*run.result.matches, *run.result.context):
            found.setdefault(match.path, []).append((match.line, match.text))
    return found


def _differing(extract: Extract, lines: list[str]) -> Iterator[int]:
    """Numbers of the shown lines that the file does not hold."""
    first = max(extract.start_line, 1)
    if list(extract.lines) == lines[first - 1 : first - 1 + len(extract.lines)]:
        return  # as nearly always; what follows is for lines that were redacted, cut or cleaned
    for number, shown in enumerate(extract.lines, first):
        if not _stands(shown, lines, number):
            yield number


def _stands(shown: str, lines: list[str], number: int) -> bool:
    """Whether a line of the file is the one that was shown, be it cut, cleaned, or with a secret left out."""
    if count_placeholders(shown):
        return True  # what stood there was not kept, and must not be
    if not 0 < number <= len(lines):
        return False
    there, kept = lines[number - 1].translate(INVISIBLE), shown.removesuffix(LINE_CUT)
    return there == shown or (kept != shown and there.startswith(kept))
