"""Two lists of models as one: a backend's and ours, in Codex' form (`models`) and in OpenAI's (`data`).

Counterparts: `server.gpt_relay` asks a backend; `server.app` has ours. Rules that hold here:

1. A backend's entries and other keys stay as they came. A name that we answer to is ours, as in `policy.routing`.
2. One tag stands for both lists. It is made from the backend's tag by a rule, so that what the backend says of its list
   elsewhere (`x-models-etag` on each answer) can be translated.
Observed: Codex CLI 0.169 fetches the list again after each answer whose `x-models-etag` is not the tag that it knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

NAMES: Final = {"models": "slug", "data": "id"}
"""List to the key that names an entry."""


def merge_models(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """One object with the lists of both. ours: has `models` and `data`. What is no list of objects is left as it is."""
    merged = {**ours, **theirs}
    for key, name in NAMES.items():
        own = {entry[name] for entry in ours[key]}
        listed = theirs.get(key)
        foreign = [entry for entry in listed if _name(entry, name) not in own] if isinstance(listed, list) else []
        merged[key] = [*foreign, *ours[key]]
    return merged


def combined_tag(theirs: str, ours: str) -> str:
    """One entity tag from a backend's (`"abc"`, or bare as in `x-models-etag`) and our digest (without quotes)."""
    body, end = (theirs[:-1], '"') if len(theirs) > 1 and theirs.endswith('"') else (theirs, "")
    return f"{body}{_joint(ours)}{end}"


def their_tag(combined: str, ours: str) -> str | None:
    """The backend's tag within one that `combined_tag` made with the same digest; None for any other."""
    for end in ('"', ""):
        joint = f"{_joint(ours)}{end}"
        if combined.endswith(joint) and len(combined) > len(joint):
            return combined.removesuffix(joint) + end
    return None


def _joint(ours: str) -> str:
    return f"+oss-{ours}"


def _name(entry: object, key: str) -> object:
    name = entry.get(key) if isinstance(entry, dict) else None
    return name if isinstance(name, str) else None
