"""The tables of `completion_contract`: what a mission may ask of a COMPLETE beyond the gates that always hold.

Counterpart: `contracts.fields`, whose row `completion_contract` points here; `contracts.validation` refuses what would
lower a gate. How a row is read: `contracts.rows`.
"""

from __future__ import annotations

from typing import Final

from codex_oss.contracts.rows import Field

_CODE: Final = "completion_contract_invalid"

AXES_FIELDS: Final = (
    Field("answer", "flag", "Every required question is answered; always so, false is refused", code=_CODE),
    Field("evidence", "flag", "Every finding rests on evidence; always so, false is refused", code=_CODE),
    Field("verification", "flag", "Both verification_requirements hold", code=_CODE),
    Field("model_self_closure", "flag", "As model_self_closure_required", code=_CODE),
)

VERIFICATION_REQUIREMENT_FIELDS: Final = (
    Field(
        "contradiction_search_required",
        "flag",
        "The model must have searched again after the required reading",
        code=_CODE,
    ),
    Field(
        "optional_exploration_required",
        "flag",
        "The model must have looked at something beyond the required reading",
        code=_CODE,
    ),
)

CLOSURE_FIELDS: Final = (
    Field(
        "runtime_closure_allowed",
        "flag",
        "False: the runtime answers no question from its own record, and takes no fast path",
        code=_CODE,
    ),
    Field(
        "model_self_closure_required",
        "flag",
        "Only a report of the model can end COMPLETE: no fast path, and none that had to be asked for",
        code=_CODE,
    ),
)

COMPLETION_FIELDS: Final = (
    Field("primary_goal", "text", "Told to the model as what matters most", code=_CODE),
    Field("required_axes", "group", "Which sides of the answer must hold", code=_CODE, fields=AXES_FIELDS),
    Field(
        "verification_requirements",
        "group",
        "What must have been looked at beyond the answer",
        code=_CODE,
        fields=VERIFICATION_REQUIREMENT_FIELDS,
    ),
    Field("closure_requirements", "group", "Who may end the mission", code=_CODE, fields=CLOSURE_FIELDS),
    Field(
        "status_policy",
        "word",
        "How the status follows; there is one way: it is only ever lowered",
        code=_CODE,
        words=("never_raised",),
    ),
)
