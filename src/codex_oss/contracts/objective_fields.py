"""The tables of `objective_spec.v1`: its fields, and the keys of its target by objective type.

Counterpart: `contracts.fields`, whose row `objective_spec` points here. How a row is read: `contracts.rows`.
"""

from __future__ import annotations

from typing import Final

from codex_oss.contracts.rows import Field

OBJECTIVE_TYPES: Final = (
    "mapping_lookup",
    "config_value_extraction",
    "function_location",
    "zero_match_evidence",
    "implementation_site_discovery",
    "usage_location",
    "control_flow_trace",
    "policy_rule_location",
    "test_coverage_location",
    "implementation_test_only",
    "documentation_patch",
    "implementation_patch",
    "critical_path_patch",
)


_OBJECTIVE: Final = "objective_spec_invalid"

OBJECTIVE_FIELDS: Final = (
    Field(
        "schema_version",
        "word",
        "Name of this format",
        "objective_spec.v1",
        code=_OBJECTIVE,
        words=("objective_spec.v1",),
    ),
    Field(
        "objective_type",
        "word",
        "What is looked for: decides what the cited evidence must show",
        code=_OBJECTIVE,
        words=OBJECTIVE_TYPES,
        missing=_OBJECTIVE,
    ),
    Field("target", "object", "What it is called; keys by objective_type, see below", {}, code=_OBJECTIVE),
    Field("required_outputs", "texts", "As required_outputs of the mission, added to them", (), code=_OBJECTIVE),
    Field(
        "required_values",
        "scalars",
        "Each must stand in the cited lines and in a finding; config_value_extraction only",
        (),
        code=_OBJECTIVE,
    ),
    Field("required_evidence_shapes", "texts", "Evidence shapes that the findings must cite", (), code=_OBJECTIVE),
    Field("completion_criteria", "texts", "Told to the model as when it is done; not judged", (), code=_OBJECTIVE),
    Field(
        "confidence_policy",
        "group",
        "Limits of the report's confidence",
        code=_OBJECTIVE,
        shown="{}",
        fields=(
            Field(
                "max_confidence",
                "word",
                "Highest confidence of the report",
                code=_OBJECTIVE,
                words=("LOW", "MEDIUM", "HIGH"),
                shown="HIGH",
            ),
        ),
    ),
)

SYMBOL_FIELDS: Final = (
    Field("path", "path", "File that must define it", code=_OBJECTIVE, shown="any changed file"),
    Field("kind", "text", "function, method, class and so on", "function", code=_OBJECTIVE),
    Field("name", "text", "Name of the symbol", code=_OBJECTIVE, missing=_OBJECTIVE),
)

_TARGETS: Final[dict[str, Field]] = {
    row.name: row
    for row in (
        Field("key", "text", "Key to look up", code=_OBJECTIVE),
        Field("symbol", "text", "Name to look for", code=_OBJECTIVE),
        Field("pattern", "text", "Pattern to search for", code=_OBJECTIVE),
        Field("test_file", "path", "Test file to write", code=_OBJECTIVE),
        Field("source_files", "paths", "Sources under test", code=_OBJECTIVE),
        Field("required_test_names", "texts", "Tests that must exist", code=_OBJECTIVE),
        Field("required_changed_files", "paths", "Files that must change", code=_OBJECTIVE),
        Field("required_source_files", "paths", "Sources that must change", code=_OBJECTIVE),
        Field("required_test_files", "paths", "Test files that must change", code=_OBJECTIVE),
        Field(
            "required_symbols",
            "group",
            "Symbols that must exist; a bare string is a name",
            code=_OBJECTIVE,
            fields=SYMBOL_FIELDS,
            many=True,
            short="name",
        ),
        Field("forbidden_changed_files", "paths", "Files that must not change", code=_OBJECTIVE),
        Field("forbidden_removed_patterns", "texts", "Texts that must survive", code=_OBJECTIVE),
        Field("required_markdown_headings", "texts", "Headings that must exist", code=_OBJECTIVE),
        Field("required_content_substrings", "texts", "Texts that must exist", code=_OBJECTIVE),
    )
}

_PATCH_TARGET: Final = (
    "required_changed_files",
    "required_source_files",
    "required_test_files",
    "required_symbols",
    "required_test_names",
    "forbidden_changed_files",
    "forbidden_removed_patterns",
)
_TARGET_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "mapping_lookup": ("key",),
    "config_value_extraction": ("key", "symbol"),
    "function_location": ("symbol",),
    "zero_match_evidence": ("pattern",),
    "implementation_test_only": ("test_file", "source_files", "required_test_names"),
    "implementation_patch": _PATCH_TARGET,
    "critical_path_patch": _PATCH_TARGET,
    "documentation_patch": (
        "required_changed_files",
        "forbidden_changed_files",
        "required_markdown_headings",
        "required_content_substrings",
        "forbidden_removed_patterns",
    ),
}
TARGET_FIELDS: Final[dict[str, tuple[Field, ...]]] = {
    kind: tuple(_TARGETS[name] for name in _TARGET_NAMES.get(kind, ("key", "symbol", "pattern")))
    for kind in OBJECTIVE_TYPES
}
"""Keys that `objective_spec.target` may have, by objective type."""

READING_TYPES: Final = OBJECTIVE_TYPES[:9]
"""Types that a tier which only reads can pursue; the others need a tier that changes files."""

TARGET_NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "mapping_lookup": ("key",),
    "config_value_extraction": ("key", "symbol"),
    "function_location": ("symbol",),
    "zero_match_evidence": ("pattern",),
}
"""Objective types that cannot be checked without one of these target keys."""
