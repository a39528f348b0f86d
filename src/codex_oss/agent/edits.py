"""Edits of one file as text: what becomes of it, and the diff that a person is shown.

Counterparts: `services.agent_tools` reads and writes the file, `policy.exposure` redacts the diff.

Rules that hold here:

1. Text is replaced exactly, never by likeness. What does not match, or matches twice, is told to the model.
2. A file keeps its line ends: where all of them are CRLF, the model's line feeds become CRLF.
3. A placeholder of redaction is never written: the secret that it stands for would be lost. Nor can text be replaced
   that the model was not shown.
"""

from __future__ import annotations

import difflib
from typing import Final

from codex_oss.contracts.tools import Verdict, denied
from codex_oss.policy.exposure import count_placeholders

MAX_DIFF_LINES: Final = 1_000
MAX_COMPARED: Final = 1_000_000
"""Lines removed times lines added, beyond which the change is shown as one piece: comparing takes their product."""
CONTEXT_LINES: Final = 3
NO_NEWLINE: Final = "\\ No newline at end of file\n"


def replaced(text: str, shown: str, old: str, new: str, *, every: bool = False) -> str | Verdict:
    """*text* with *old* replaced by *new*, or why not. shown: the text as the model may see it, redacted.

    Codes: edit_empty, edit_changes_nothing, placeholder_in_edit, edit_does_not_match, edit_matches_twice.
    """
    if not old:
        return denied("edit_empty", "old_text is empty; to make a new file use create_file.")
    if old == new:
        return denied("edit_changes_nothing", "old_text and new_text are the same.")
    if count_placeholders(new) or (count_placeholders(old) and old not in text):
        return denied(
            "placeholder_in_edit",
            "The edit holds [REDACTED:…], which stands for a secret that you were not shown. Leave those lines alone.",
        )
    if "\r\n" in text and text.count("\r\n") == text.count("\n"):
        old, new = _crlf(old), _crlf(new)
    count = text.count(old)
    if count == 0 or shown.count(old) != count:  # else an edit could guess a secret letter by letter
        return denied("edit_does_not_match", "old_text does not stand in the file; read it again and copy exactly.")
    if count > 1 and not every:
        return denied(
            "edit_matches_twice",
            f"old_text stands in the file {count} times; give more lines around it, or set replace_all.",
        )
    return text.replace(old, new)


def check_new(content: str) -> Verdict | None:
    """Why this is not written as a new file; None when it may be."""
    if count_placeholders(content):
        return denied("placeholder_in_edit", "The content holds [REDACTED:…], which stands for a secret.")
    return None


def diff_of(path: str, before: str | None, after: str) -> tuple[str, int, int]:
    """The unified diff, and how many lines are added and removed. before: None for a new file."""
    old, new = _lines(before or ""), _lines(after)
    name = f"a/{path}" if before is not None else "/dev/null"
    begin, end = _same(old, new)
    if (len(old) - begin - end) * (len(new) - begin - end) > MAX_COMPARED:
        lines = _one_hunk(name, path, old, new, begin, end)
    else:
        lines = list(difflib.unified_diff(old, new, name, f"b/{path}", n=CONTEXT_LINES))
    added = sum(line.startswith("+") for line in lines[2:])
    removed = sum(line.startswith("-") for line in lines[2:])
    shown = [line if line.endswith("\n") else f"{line}\n{NO_NEWLINE}" for line in lines[:MAX_DIFF_LINES]]
    if len(lines) > MAX_DIFF_LINES:
        shown.append(f"… {len(lines) - MAX_DIFF_LINES} more lines\n")
    return "".join(shown), added, removed


def _lines(text: str) -> list[str]:
    """The lines with their ends; only a line feed ends a line, as for every tool that reads diffs."""
    *whole, rest = text.split("\n")
    return [f"{line}\n" for line in whole] + ([rest] if rest else [])


def _same(old: list[str], new: list[str]) -> tuple[int, int]:
    """How many lines at the begin and at the end are the same."""
    most = min(len(old), len(new))
    begin = next((at for at in range(most) if old[at] != new[at]), most)
    end = next((at for at in range(most - begin) if old[-1 - at] != new[-1 - at]), most - begin)
    return begin, end


def _one_hunk(name: str, path: str, old: list[str], new: list[str], begin: int, end: int) -> list[str]:
    first = max(0, begin - CONTEXT_LINES)
    old_end, new_end = len(old) - end, len(new) - end
    after = old[old_end : old_end + CONTEXT_LINES]
    counts = (old_end - first + len(after), new_end - first + len(after))
    return [
        f"--- {name}\n",
        f"+++ b/{path}\n",
        f"@@ -{first + 1},{counts[0]} +{first + 1},{counts[1]} @@\n",
        *(f" {line}" for line in old[first:begin]),
        *(f"-{line}" for line in old[begin:old_end]),
        *(f"+{line}" for line in new[begin:new_end]),
        *(f" {line}" for line in after),
    ]


def _crlf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\n", "\r\n")
