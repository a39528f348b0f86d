"""What a completion contract asks for, read once for everybody.

Counterparts: `contracts.completion_fields` has its fields; `missions.exploration`, `missions.fast_path` and
`missions.report` ask here. It can only ask for more: nothing here lowers a gate.
"""

from __future__ import annotations

from typing import Any

from codex_oss.contracts.mission import MissionV1


def closure_needs_model(mission: MissionV1) -> bool:
    """Whether only a report that the model submitted by itself may end COMPLETE."""
    contract = mission.completion_contract
    return bool(
        _flag(contract, "closure_requirements", "model_self_closure_required")
        or _flag(contract, "required_axes", "model_self_closure")
    )


def runtime_may_close(mission: MissionV1) -> bool:
    """Whether the runtime may answer from its own record."""
    allowed = _flag(mission.completion_contract, "closure_requirements", "runtime_closure_allowed")
    return allowed is not False and not closure_needs_model(mission)


def exploration_demands(mission: MissionV1) -> tuple[int, bool]:
    """Fewest optional actions, and whether a search must be among them."""
    policy, contract = mission.exploration_policy, mission.completion_contract
    everything = bool(_flag(contract, "required_axes", "verification"))
    explore = everything or _flag(contract, "verification_requirements", "optional_exploration_required")
    search = everything or _flag(contract, "verification_requirements", "contradiction_search_required")
    fewest = policy.min_optional_actions_after_floor if policy else 0
    return max(fewest, int(bool(explore))), bool(search) or (policy is not None and policy.require_contradiction_search)


def _flag(contract: dict[str, Any], group: str, name: str) -> bool | None:
    inner = contract.get(group)
    value = inner.get(name) if isinstance(inner, dict) else None
    return value if isinstance(value, bool) else None
