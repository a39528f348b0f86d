"""How much content a mission may show: counting a result, and cutting one to what is left.

Counterparts: `max_total_observation_bytes` of the contract is the limit, `missions.record` counts, the runner cuts
before a result becomes an event: what is not in the event was not shown.
"""

from __future__ import annotations

import msgspec

from codex_oss.contracts.tools import Match, ToolResult, tool_error


def shown_bytes(result: ToolResult) -> int:
    """Bytes of content that a result shows, in UTF-8, a line end each; refs and headings are not content."""
    lines = sum(_size(line) for line in result.lines)
    return lines + sum(_size(match.text) for match in (*result.matches, *result.context))


def cut_to_limit(result: ToolResult, left_bytes: int) -> ToolResult:
    """The result with as many whole lines as fit; an error `observation_limit_reached` when none does."""
    size = shown_bytes(result)
    if size <= left_bytes or result.kind == "error":
        return result
    lines, left = _fitting(result.lines, left_bytes)
    matches, _ = _fitting_matches(result.matches, left)
    if not lines and not matches:
        message = f"Only {max(0, left_bytes)} more bytes may be shown in this mission; ask for fewer lines, or report."
        return tool_error(result.tool, "observation_limit_reached", message, path=result.path)
    cut = msgspec.structs.replace(result, lines=lines, matches=matches, context=(), complete=False)
    return msgspec.structs.replace(cut, bytes_read=min(result.bytes_read, shown_bytes(cut)))


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace")) + 1


def _fitting(lines: tuple[str, ...], left: int) -> tuple[tuple[str, ...], int]:
    kept = 0
    for line in lines:
        if _size(line) > left:
            break
        left -= _size(line)
        kept += 1
    return lines[:kept], left


def _fitting_matches(matches: tuple[Match, ...], left: int) -> tuple[tuple[Match, ...], int]:
    texts, left = _fitting(tuple(match.text for match in matches), left)
    return matches[: len(texts)], left
