"""What may end a mission: the words of `stop_conditions`.

Counterparts: `missions.decide` ends a mission by them; `contracts.fields` refuses any other word.
"""

from __future__ import annotations

from typing import Final

DEFAULT_STOPS: Final = ("valid_report", "budget_exhausted", "deadline_reached")
"""These hold in every mission, named or not."""

STOP_CONDITIONS: Final[dict[str, str]] = {
    "valid_report": "a report that passes every gate",
    "budget_exhausted": "the tool budget is spent",
    "deadline_reached": "the time is up",
    "valid_patch": "a patch that passes every check; A4 to A6",
    "critical_path_detected": "the model asks for a critical path that the mission does not open",
    "path_denied": "the model asks for a file that is never read",
    "path_forbidden_root": "the model asks for something below forbidden_roots",
    "path_outside_scope": "the model asks for something outside the scope",
    "path_traversal": "the model asks for a path with `..`",
    "path_absolute": "the model asks for an absolute path",
    "write_blocked": "the model tries to change something",
    "tool_class_not_allowed": "the model calls a tool of a class that is not allowed",
    "topic_forbidden": "the model searches for a forbidden topic",
    "max_files_reached": "the model asks for more files than it may inspect",
    "broad_search_limit": "the model searches too broadly too often",
    "duplicate_action": "the model repeats an action",
    "observation_limit_reached": "no more content may be shown",
}
"""Word to what has happened then. Those after the first four are reason codes of denials: the first one ends it."""
