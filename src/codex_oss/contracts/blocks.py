"""The blocks of a text that may hold a mission: between the tags, or after the marker of the older form.

Counterparts: `contracts.handoff` chooses among them, `contracts.legacy` reads the older form.

Rules that hold here:

1. JSON must mean one thing: a key given twice, NaN, Infinity, numbers beyond 64 bits, half surrogates and nesting
   deeper than 64 are refused, although lenient parsers take them.
2. Nothing here raises, whatever the text; each text costs a bounded multiple of its length.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from codex_oss.contracts.mission import SCHEMA_VERSION
from codex_oss.contracts.reader import MAX_DEPTH, json_fault, shown

MARK: Final = "OSS_HANDOFF_JSON"
"""Stands in every form of a handoff but the one in prose."""
OPEN_TAG: Final = "<OSS_HANDOFF_JSON>"
CLOSE_TAG: Final = "</OSS_HANDOFF_JSON>"
LEGACY_MARKER: Final = "OSS_HANDOFF_JSON:"
MAX_BLOCKS: Final = 64
"""Blocks looked at in all; with more there is no telling which one is meant."""
MAX_BLOCK_CHARS: Final = 1_000_000
MAX_SCAN_CHARS: Final = 2_000_000
"""Characters of one text that are scanned for the ends of objects; beyond it the next closing tag ends a block."""

_TAG: Final = re.compile(re.escape(OPEN_TAG) + "|" + re.escape(CLOSE_TAG))
_LEGACY: Final = re.compile(r"^[ \t]*OSS_HANDOFF_JSON:", re.MULTILINE)
_FENCE: Final = re.compile(r"\s*(?:```(?:json)?[ \t]*\r?\n)?\s*")
_AFTER: Final = re.compile(r"\s*(?:```)?\s*")
_TOKEN: Final = re.compile(r'"(?:[^"\\]++|\\.)*"?|[\[\]{}]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """One tagged block, or an opening tag that nobody closed."""

    raw: Any = None
    fault: str = ""
    """Why the text is not JSON that may be used; empty when `raw` is it."""

    @property
    def is_mission(self) -> bool:
        """True for an object that says it is a MissionV1."""
        return isinstance(self.raw, dict) and self.raw.get("schema_version") == SCHEMA_VERSION


def tagged_blocks(texts: Sequence[str], *, strict: bool, where: str = "message") -> list[Block]:
    """The blocks of all texts, at most one more than `MAX_BLOCKS`.

    strict: an opening tag that nobody closed counts even when it looks like a mention.
    """
    blocks: list[Block] = []
    for text in texts:
        for block in _blocks(text, strict, where):
            blocks.append(block)
            if len(blocks) > MAX_BLOCKS:
                return blocks
    return blocks


def _blocks(text: str, strict: bool, where: str) -> Iterator[Block]:
    """Walk the tags of one text.

    A tag inside a JSON string of the block belongs to the string. A tag that is mentioned in prose in front of the
    real block is not an opening: the last opening tag before a closing one counts.
    """
    tags = [(match.start(), match.end(), match.group() == OPEN_TAG) for match in _TAG.finditer(text)]
    done, scan_left = 0, MAX_SCAN_CHARS
    for index, (start, end, opens) in enumerate(tags):
        if start < done or not opens:
            continue
        body = _FENCE.match(text, end)
        body_start = body.end() if body else end
        starts_object = text.startswith("{", body_start)
        object_end, scanned = _object_end(text, body_start, scan_left) if starts_object else (0, 0)
        scan_left -= scanned
        if object_end:
            after = _AFTER.match(text, object_end)
            close = after.end() if after else object_end
            if text.startswith(CLOSE_TAG, close):
                yield parse_block(text, body_start, object_end, where)
                done = close + len(CLOSE_TAG)
                continue
        next_start, next_end, next_opens = tags[index + 1] if index + 1 < len(tags) else (len(text), len(text), True)
        if not next_opens:
            yield parse_block(text, end, next_start, where)
            done = next_end
        elif index + 1 == len(tags) and (strict or starts_object):
            place = _place(text, start, where)
            yield Block(fault=f"The block opened at {place} is never closed with {CLOSE_TAG}.")


def legacy_blocks(texts: Sequence[str], where: str = "message") -> list[Block]:
    """The blocks of the older form: the marker at the start of a line, then an object, bare or in a fence.

    A marker that no object follows is a mention, not a block.
    """
    blocks: list[Block] = []
    for text in texts:
        for marker in _LEGACY.finditer(text):
            lead = _FENCE.match(text, marker.end())
            start = lead.end() if lead else marker.end()
            if not text.startswith("{", start):
                continue
            end, _ = _object_end(text, start, MAX_SCAN_CHARS)
            blocks.append(parse_block(text, start, end or len(text), where))
            if len(blocks) > MAX_BLOCKS:
                return blocks
    return blocks


def _object_end(text: str, start: int, scan_left: int) -> tuple[int, int]:
    """Where the object that starts at *start* ends (0: it never does, nests too deep, or is too long to say).

    Also the number of characters that it took to know.
    """
    depth, stop = 0, min(len(text), start + min(MAX_BLOCK_CHARS + 1, scan_left))
    for token in _TOKEN.finditer(text, start, stop):
        match token.group()[0]:
            case "{" | "[":
                depth += 1
                if depth > MAX_DEPTH:
                    return 0, token.end() - start
            case "}" | "]":
                depth -= 1
                if depth == 0:
                    return token.end(), token.end() - start
    return 0, max(0, stop - start)


def parse_block(text: str, start: int, end: int, where: str) -> Block:
    """Parse the JSON between two offsets; a fault names line and column of the text around it."""
    if end - start > MAX_BLOCK_CHARS:
        return Block(fault=f"The block is longer than {MAX_BLOCK_CHARS} characters.")
    body = text[start:end]
    lead = _FENCE.match(body)
    offset = lead.end() if lead else 0
    body = body[offset:].rstrip().removesuffix("```").rstrip()
    if not body:
        return Block(fault=f"The block at {_place(text, start, where)} is empty.")
    if _too_deep(body):
        return Block(fault=f"The block at {_place(text, start, where)} is nested deeper than {MAX_DEPTH}.")
    strange: list[str] = []
    try:
        raw = json.loads(
            body,
            object_pairs_hook=lambda pairs: _object(pairs, strange),
            parse_constant=lambda name: strange.append(f"{name} is not a number that JSON knows."),
            parse_int=_whole,
        )
    except json.JSONDecodeError as exc:
        place = _place(text, start + offset + exc.pos, where)
        return Block(fault=f"The block does not parse as JSON at {place}: {exc.msg}.")
    fault = strange[0] if strange else json_fault(raw)
    if fault and not strange:
        fault = f"The block cannot be used: {fault}."
    return Block(raw, fault)


def _object(pairs: list[tuple[str, Any]], strange: list[str]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        strange.append(f"The key {shown(counts.most_common(1)[0][0])} is given twice in one object.")
    return found


def _whole(digits: str) -> int:
    """Beyond 64 bits the exact value does not matter: `json_fault` refuses it."""
    return int(digits) if len(digits) <= 20 else 1 << 100


def _too_deep(body: str) -> bool:
    depth = 0
    for token in _TOKEN.finditer(body):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token.group()[0], 0)
        if depth > MAX_DEPTH:
            return True
    return False


def _place(text: str, offset: int, where: str) -> str:
    line = text.count("\n", 0, offset) + 1
    column = offset - (text.rfind("\n", 0, offset) + 1) + 1
    return f"line {line}, column {column} of the {where}"
