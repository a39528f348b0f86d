"""Finds the mission in what a client sent: the tagged block, an older form of it, a task contract in prose, a document.

    <OSS_HANDOFF_JSON>
    {"schema_version": "oss_agent_mission.v1", …}
    </OSS_HANDOFF_JSON>

Counterparts: `contracts.validation` judges the object that is found here, `contracts.blocks` finds and parses blocks,
`contracts.legacy` and `contracts.prose` compile the two other forms to the same object, and
`contracts.compiler.wrap_handoff` writes the block.

Rules that hold here:

1. User text decides: when it holds the tag, nothing else is looked at. System text counts only without it, and never
   for a mission alias, because installed guidance may hold examples.
2. Of all blocks those are kept that are objects with the schema version of MissionV1. One kept: the mission. More: an
   error. None kept of several blocks: an error. None kept of one block: that block, so that its fault is told.
3. The older form counts where there is no tag, for any model name; prose only for a mission alias, or in a document.
4. Nothing here raises, whatever the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from codex_oss.contracts.blocks import (
    CLOSE_TAG,
    MAX_BLOCKS,
    OPEN_TAG,
    Block,
    legacy_blocks,
    parse_block,
    tagged_blocks,
)
from codex_oss.contracts.legacy import compile_legacy, is_legacy
from codex_oss.contracts.mission import SCHEMA_VERSION, Problem
from codex_oss.contracts.prose import compile_prose, holds_contract
from codex_oss.contracts.reader import shown

HOW_TO_HAND_OVER: Final = (
    f"Put one JSON object with schema_version {SCHEMA_VERSION} between {OPEN_TAG} and {CLOSE_TAG}; "
    "`codex-oss mission template --handoff` writes one."
)
DOCUMENT_TIER: Final = "A3"
"""Tier of a prose contract in a document, where no model name gives one."""

Source = Literal["none", "user", "system", "document"]


@dataclass(frozen=True, slots=True)
class Handoff:
    """What was found: the raw mission, or why there is none. Both empty: nobody handed over a mission."""

    raw: dict[str, Any] | None = None
    problems: tuple[Problem, ...] = ()
    source: Source = "none"
    notes: tuple[Problem, ...] = ()
    """Warnings of a form that was compiled: what became of it where that is not word for word."""


def find_mission(
    user_texts: Sequence[str], system_texts: Sequence[str] = (), *, mission_alias: bool, tier: str = ""
) -> Handoff:
    """Find the one mission of a request.

    user_texts: text of each user item, in order; system_texts: of each system or developer item. mission_alias: the
    model name is `mission-*`, so a mission must be there (code handoff_missing otherwise). tier: of that name.
    Source: mission contract v1, carrier and extraction.
    """
    if any(OPEN_TAG in text for text in user_texts):
        found = _choose(tagged_blocks(user_texts, strict=mission_alias), "user", "message")
        if found.raw is not None or found.problems:
            return found
    elif not mission_alias and any(OPEN_TAG in text for text in system_texts):
        return _choose(tagged_blocks(system_texts, strict=False), "system", "message")
    if older := _legacy(legacy_blocks(user_texts), tier, "user", "message"):
        return older
    if not mission_alias:
        return Handoff()
    if any(map(holds_contract, user_texts)):
        return _compiled(compile_prose(user_texts, tier or DOCUMENT_TIER), "user")
    message = (
        f"This model name runs missions, and the request holds none. {HOW_TO_HAND_OVER} "
        "A task contract in prose has the labels GOAL: and READ-ONLY PATHS: at the start of lines."
    )
    return Handoff(problems=(Problem("handoff_missing", "", message),), source="user")


def parse_document(text: str, tier: str = "") -> Handoff:
    """Find the mission of a file: a bare JSON object, or text around one tagged block; else an older form or prose.

    tier: for the two other forms, which name none; empty for what is usual.
    """
    text = text.removeprefix("\ufeff")
    if not text.strip():
        return _refused("handoff_missing", f"The document is empty. {HOW_TO_HAND_OVER}", "document")
    if text.lstrip().startswith("{"):
        block = parse_block(text, 0, len(text), "document")
        return _legacy_of(block, tier, "document") if is_legacy(block.raw) else _choose([block], "document", "document")
    if OPEN_TAG in text:
        return _choose(tagged_blocks([text], strict=True, where="document"), "document", "document")
    if older := _legacy(legacy_blocks([text], "document"), tier, "document", "document"):
        return older
    if holds_contract(text):
        return _compiled(compile_prose([text], tier or DOCUMENT_TIER), "document")
    message = f"The document holds no mission. {HOW_TO_HAND_OVER} A bare JSON object will do as well."
    return _refused("handoff_missing", message, "document")


def _refused(code: str, message: str, source: Source) -> Handoff:
    return Handoff(problems=(Problem(code, "", message),), source=source)


def _compiled(found: tuple[dict[str, Any] | None, tuple[Problem, ...]], source: Source) -> Handoff:
    """What a compiler gave: a mission with its notes, or problems."""
    raw, told = found
    return Handoff(raw, source=source, notes=told) if raw is not None else Handoff(problems=told, source=source)


def _legacy(blocks: list[Block], tier: str, source: Source, where: str) -> Handoff | None:
    if not blocks:
        return None
    if len(blocks) > 1:
        message = f"The {where} holds {len(blocks)} blocks of the older form; hand over exactly one mission."
        return _refused("handoff_multiple_blocks", message, source)
    return _legacy_of(blocks[0], tier, source)


def _legacy_of(block: Block, tier: str, source: Source) -> Handoff:
    if block.fault:
        return _refused("handoff_malformed_json", block.fault, source)
    return _compiled(compile_legacy(block.raw, tier), source)


def _choose(blocks: list[Block], source: Source, where: str) -> Handoff:
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
