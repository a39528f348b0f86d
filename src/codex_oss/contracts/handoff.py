"""Finds the mission in what a client sent: the tagged block, or a whole document.

    <OSS_HANDOFF_JSON>
    {"schema_version": "oss_agent_mission.v1", …}
    </OSS_HANDOFF_JSON>

Counterparts: `contracts.validation` judges the object that is found here; `contracts.compiler.wrap_handoff` writes
the block.

Rules that hold here:

1. User text decides: when it holds the tag, nothing else is looked at. System text counts only without it, and never
   for a mission alias, because installed guidance may hold examples.
2. Of all blocks those are kept that are objects with the schema version of MissionV1. One kept: the mission. More: an
   error. None kept of several blocks: an error. None kept of one block: that block, so that its fault is told.
3. JSON must mean one thing: a key given twice, NaN, Infinity, numbers beyond 64 bits, half surrogates and nesting
   deeper than 64 are refused, although lenient parsers take them.
4. Nothing here raises, whatever the text; each text costs a bounded multiple of its length.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from codex_oss.contracts.mission import SCHEMA_VERSION, Problem
from codex_oss.contracts.reader import MAX_DEPTH, json_fault, shown

OPEN_TAG: Final = "<OSS_HANDOFF_JSON>"
CLOSE_TAG: Final = "</OSS_HANDOFF_JSON>"
MAX_BLOCKS: Final = 64
"""Blocks looked at in all; with more there is no telling which one is meant."""
MAX_BLOCK_CHARS: Final = 1_000_000
MAX_SCAN_CHARS: Final = 2_000_000
"""Characters of one text that are scanned for the ends of objects; beyond it the next closing tag ends a block."""

HOW_TO_HAND_OVER: Final = (
    f"Put one JSON object with schema_version {SCHEMA_VERSION} between {OPEN_TAG} and {CLOSE_TAG}; "
    "`codex-oss mission template --handoff` writes one."
)

_TAG: Final = re.compile(re.escape(OPEN_TAG) + "|" + re.escape(CLOSE_TAG))
_FENCE: Final = re.compile(r"\s*(?:```(?:json)?[ \t]*\r?\n)?\s*")
_AFTER: Final = re.compile(r"\s*(?:```)?\s*")
_TOKEN: Final = re.compile(r'"(?:[^"\\]++|\\.)*"?|[\[\]{}]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Handoff:
    """What was found: the raw mission, or why there is none. Both empty: nobody handed over a mission."""

    raw: dict[str, Any] | None = None
    problems: tuple[Problem, ...] = ()
    source: Literal["none", "user", "system", "document"] = "none"


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


def find_mission(user_texts: Sequence[str], system_texts: Sequence[str] = (), *, mission_alias: bool) -> Handoff:
    """Find the one mission of a request.

    user_texts: text of each user item, in order; system_texts: of each system or developer item. mission_alias: the
    model name is `mission-*`, so a mission must be there (code handoff_missing otherwise).
    Source: mission contract v1, carrier and extraction.
    """
    if any(OPEN_TAG in text for text in user_texts):
        found = _choose(_all_blocks(user_texts, strict=mission_alias), "user", "message")
        if found.raw is not None or found.problems:
            return found
    elif not mission_alias and any(OPEN_TAG in text for text in system_texts):
        return _choose(_all_blocks(system_texts, strict=False), "system", "message")
    if not mission_alias:
        return Handoff()
    message = f"This model name runs missions, and the request holds none. {HOW_TO_HAND_OVER}"
    return Handoff(problems=(Problem("handoff_missing", "", message),), source="user")


def parse_document(text: str) -> Handoff:
    """Find the mission of a file: a bare JSON object, or text around one tagged block."""
    text = text.removeprefix("\ufeff")
    if not text.strip():
        return _refused("handoff_missing", f"The document is empty. {HOW_TO_HAND_OVER}", "document")
    if text.lstrip().startswith("{"):
        return _choose([_parse(text, 0, len(text), "document")], "document", "document")
    if OPEN_TAG in text:
        return _choose(_all_blocks([text], strict=True, where="document"), "document", "document")
    message = f"The document holds no mission. {HOW_TO_HAND_OVER} A bare JSON object will do as well."
    return _refused("handoff_missing", message, "document")


def _refused(code: str, message: str, source: Literal["user", "system", "document"]) -> Handoff:
    return Handoff(problems=(Problem(code, "", message),), source=source)


def _choose(blocks: list[Block], source: Literal["user", "system", "document"], where: str) -> Handoff:
    """The counting rule (rule 2 above)."""
    kept = [block for block in blocks if block.is_mission]
    if len(kept) > 1 or len(blocks) > MAX_BLOCKS:
        many = str(len(kept)) if len(blocks) <= MAX_BLOCKS else f"more than {MAX_BLOCKS} blocks and perhaps as many"
        message = f"The {where} holds {many} missions; hand over exactly one."
        return _refused("handoff_multiple_blocks", message, source)
    if not kept and len(blocks) > 1:
        message = f"None of the {len(blocks)} blocks is an object with schema_version {SCHEMA_VERSION}."
        faults = "".join(f" Block {number}: {block.fault}" for number, block in enumerate(blocks[:3], 1) if block.fault)
        return _refused("handoff_no_valid_block", message + faults, source)
    if not blocks:
        return Handoff()
    chosen = kept[0] if kept else blocks[0]
    if chosen.fault:
        return _refused("handoff_malformed_json", chosen.fault, source)
    if not isinstance(chosen.raw, dict):
        message = f"The block holds {shown(chosen.raw)}; expected one JSON object."
        return _refused("handoff_malformed_json", message, source)
    return Handoff(chosen.raw, source=source)


def _all_blocks(texts: Sequence[str], *, strict: bool, where: str = "message") -> list[Block]:
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
                yield _parse(text, body_start, object_end, where)
                done = close + len(CLOSE_TAG)
                continue
        next_start, next_end, next_opens = tags[index + 1] if index + 1 < len(tags) else (len(text), len(text), True)
        if not next_opens:
            yield _parse(text, end, next_start, where)
            done = next_end
        elif index + 1 == len(tags) and (strict or starts_object):
            place = _place(text, start, where)
            yield Block(fault=f"The block opened at {place} is never closed with {CLOSE_TAG}.")


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


def _parse(text: str, start: int, end: int, where: str) -> Block:
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
