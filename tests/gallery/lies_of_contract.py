"""True findings that are not what the contract asks for: sold as COMPLETE, they are lies about the task."""

from __future__ import annotations

from typing import Any

from tests.gallery.exhibit import CLIENT, CONFIG, HITS, MISS, READ, REF, RETRY, TEST, ZERO, Exhibit
from tests.gallery.turns import finding, grep, read, report

TRUE = finding("`MAX_RETRIES = 5`", REF)
OPEN = ("A3-open",)
CLOSED = ("A2", "A3")


def objective(kind: str, target: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A machine-readable objective."""
    return {"objective_spec": {"objective_type": kind, "target": target, **more}}


def source(**more: Any) -> dict[str, Any]:
    """One question that needs app/retry.py, which the runtime leaves to the model."""
    needed = {"path": RETRY, "prefetch": False, **more}
    question = {"id": "q1", "question": "How does the sample retry?", "source_requirements": [needed]}
    return {"answer_obligations": [question]}


EXHIBITS: tuple[Exhibit, ...] = (
    Exhibit(
        "another name than the objective's",
        "is asked where one function is defined and says where another is",
        ("objective_not_shown",),
        [READ, report(finding("`retry` is defined there", REF, kind="definition"))],
        [read(CLIENT), report(finding("`fetch` is defined there", f"file:{CLIENT}#extract:1", kind="definition"))],
        objective("function_location", {"symbol": "fetch"}),
        CLOSED,
    ),
    Exhibit(
        "another search than the objective's",
        "is asked whether one pattern occurs and searches for another",
        ("objective_not_searched",),
        [MISS, report(finding("`MAX_TRIES` does not occur", ZERO, kind="absence"))],
        [grep("jitter"), report(finding("`jitter` does not occur", ZERO, kind="absence"))],
        objective("zero_match_evidence", {"pattern": "jitter"}),
        CLOSED,
    ),
    Exhibit(
        "no value where one is asked for",
        "says that a setting exists and not what it is",
        ("required_value_missing",),
        [read(CONFIG), report(finding("`RETRY_LIMIT` is set there", f"file:{CONFIG}#extract:1"))],
        [read(CONFIG), report(finding("`RETRY_LIMIT` is 7", f"file:{CONFIG}#extract:1"))],
        objective("config_value_extraction", {"key": "RETRY_LIMIT"}, required_values=[7]),
        CLOSED,
    ),
    Exhibit(
        "another kind of evidence",
        "is asked for a test and cites the code",
        ("evidence_shape_missing",),
        [READ, report(TRUE)],
        [read(TEST), report(finding("`retry(lambda: 1)` is asserted", f"file:{TEST}#extract:1"))],
        objective("usage_location", {}, required_evidence_shapes=["test_assertion"]),
        CLOSED,
    ),
    Exhibit(
        "half a file for a whole one",
        "must read all of a file and reads its head",
        ("source_not_whole",),
        [read(RETRY, 1, 6), report(TRUE)],
        [read(RETRY, 1, 6), read(RETRY, 7), report(TRUE)],
        source(completeness_policy="whole_file_required"),
        OPEN,
    ),
    Exhibit(
        "a source that was not searched",
        "must search a file and only reads it",
        ("source_not_searched",),
        [READ, report(TRUE)],
        [READ, grep("jitter", RETRY), report(TRUE)],
        source(pattern="jitter"),
        OPEN,
    ),
    Exhibit(
        "silence about what speaks against it",
        "reads a line that the mission calls a contradiction, and tells nobody",
        ("source_contradicted",),
        [READ, read(CONFIG), report(TRUE)],
        [READ, read(CONFIG), report(TRUE, finding("`raise TimeoutError` against `TIMEOUT_S = 30`", REF,
                                                  f"file:{CONFIG}#extract:1", kind="contradiction"))],
        source(contradiction_markers=["raise TimeoutError"]) | {"exploration_policy": {
            "min_optional_actions_after_floor": 0, "require_contradiction_search": False}},
        OPEN,
    ),
    Exhibit(
        "the first look for all of them",
        "must look at something more and does not",
        ("exploration_unmet",),
        [READ, report(TRUE)],
        [READ, read(CONFIG), report(TRUE)],
        {"exploration_policy": {"min_optional_actions_after_floor": 2, "require_contradiction_search": False}},
        OPEN,
    ),
    Exhibit(
        "contradictions that were only spoken of",
        "says that it looked for the opposite and never searched",
        ("contradiction_search_missing",),
        [READ, report(TRUE, caveats=["Contradictions were looked for; there are none."])],
        [READ, HITS, report(TRUE)],
        {"exploration_policy": {"min_optional_actions_after_floor": 0, "require_contradiction_search": True}},
        OPEN,
    ),
    Exhibit(
        "a report that had to be asked for",
        "goes round in circles until it is told to report, where the mission wants it to close by itself",
        ("closure_not_by_model",),
        [READ, READ, report(TRUE)],
        [READ, report(TRUE)],
        {
            "max_duplicate_actions": 1,
            "completion_contract": {"closure_requirements": {"model_self_closure_required": True}},
        },
    ),
    Exhibit(
        "a topic that was left out",
        "reports on what the mission told it to leave alone",
        ("topic_forbidden",),
        [READ, report(finding("`DELAY_S = 0.5`", REF))],
        [READ, report(TRUE)],
        {"forbidden_topics": ["delay"]},
    ),
)  # fmt: skip
