"""The words in which the runtime speaks to the model: observations, denials and refusals.

Counterparts: `missions.record` puts these texts into the conversation as events are folded, so that the prompt is a
function of the log; `missions.prompt` adds the opening.

Rules that hold here:

1. Every observation offers the refs by which its lines can be cited, and says what was left out.
2. File content is framed as data. It stands between fences that name it, and no line of it is an instruction.
3. Texts depend on the event only: the same log gives the same bytes, so an upstream's prefix cache hits.
"""

from __future__ import annotations

from codex_oss.contracts.tools import ToolResult
from codex_oss.missions.events import ActionDenied, ReportRefused
from codex_oss.missions.evidence import CommandRun, Extract, proves_absence


def render_observation(result: ToolResult, entry: Extract | CommandRun | None) -> str:
    """What the model reads after a tool ran. entry: how the result was numbered; None when it shows nothing."""
    if entry is None and result.kind == "extract":
        return f"OBSERVATION rtk_read {result.path}: no line in that range of {result.total_lines}. Nothing was shown."
    if entry is None or result.kind == "error":
        return f"OBSERVATION {result.tool}: {result.error_code}. {result.message} Nothing was shown."
    if isinstance(entry, Extract):
        return _render_extract(entry)
    if result.kind == "matches":
        return _render_matches(result, entry)
    whole = result.complete and not result.critical_left_out
    left_out = "" if whole else f" (more was left out{_critical(result)})"
    body = "\n".join(result.lines) or "(nothing)"
    return _framed(f"OBSERVATION {result.tool}{left_out}", entry.ref, body)


def render_denial(event: ActionDenied) -> str:
    """What the model reads when its action was not carried out."""
    return f"NOT DONE ({event.code}): {event.reason}"


def render_refusal(event: ReportRefused) -> str:
    """What the model reads when its report did not pass the gates."""
    lines = [f"- {failure.code}: {failure.message}" for failure in event.failures[:12]]
    return "\n".join(
        [
            "REPORT REFUSED. Each claim must be borne out by the lines it cites:",
            *lines,
            "Send one corrected final_report now. Leave out what you cannot cite; PARTIAL is an honest status.",
        ]
    )


def _render_extract(extract: Extract) -> str:
    if not extract.lines:
        shown = f"{extract.path} is empty"
    else:
        shown = f"{extract.path} lines {extract.start_line}-{extract.end_line} of {extract.total_lines}"
    body = "\n".join(f"{extract.start_line + i}: {line}" for i, line in enumerate(extract.lines))
    return _framed(f"OBSERVATION rtk_read {shown}", extract.ref, body)


def _render_matches(result: ToolResult, run: CommandRun) -> str:
    pattern, path = str(run.arguments.get("pattern", "")), str(run.arguments.get("path", "")) or "the whole scope"
    if not result.match_count:
        proof = (
            "" if proves_absence(run) else f" The search was not whole{_critical(result)}, so this proves no absence."
        )
        return (
            f"OBSERVATION rtk_grep: 0 matches for {pattern!r} in {path}"
            f" ({result.files_searched} files searched). cite: {run.ref}{proof}"
        )
    left_out = "" if result.complete else f", {len(result.matches)} shown"
    header = f"OBSERVATION rtk_grep {pattern!r} in {path}: {result.match_count} matches{left_out}"
    marked = [(match, ":") for match in result.matches] + [(line, "-") for line in result.context]
    if result.context:
        marked.sort(key=lambda entry: (entry[0].path, entry[0].line))
    body = "\n".join(f"{line.path}{mark}{line.line}{mark} {line.text}" for line, mark in marked)
    return _framed(header, f"{run.ref} or {run.ref}#match:0…{len(result.matches) - 1}", body)


def _critical(result: ToolResult) -> str:
    """What a mission that does not open critical paths did not get to see."""
    count = result.critical_left_out
    return f": {count} critical file{'s' if count > 1 else ''} or folder{'s' if count > 1 else ''}" if count else ""


def _framed(header: str, ref: str, body: str) -> str:
    return f"{header}\ncite: {ref}\n<data>\n{body}\n</data>"
