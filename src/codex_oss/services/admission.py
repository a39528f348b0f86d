"""Admission: from what a client sent to a mission that may run, or to every reason why it may not.

Counterparts: `contracts.handoff` finds the block, `contracts.validation` judges it, `policy.routing` chose the profile;
`services.mission_runner` runs what is admitted here.

Rules that hold here:

1. Nothing is read, asked or written before a mission is admitted, but the number of entries in its roots.
2. The tier of the model name and the tier of the mission must agree.
3. The profile may lower the budget, never raise it.
4. The model must be able to do what the tier needs, or somebody stands in for it, and that is said
   (`policy.admission`).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from codex_oss.config import Config
from codex_oss.contracts.budget import BudgetLimits, clamp_budget
from codex_oss.contracts.mission import MissionV1, Problem
from codex_oss.contracts.profiles import ModelProfile
from codex_oss.contracts.validation import check_alias_tier, check_mission
from codex_oss.errors import StoreError
from codex_oss.missions.events import MissionOpened, ModelReplaced
from codex_oss.policy.admission import ModelAdmission, admit_model
from codex_oss.policy.mission_lanes import choose_lane
from codex_oss.policy.path_patterns import parse_patterns
from codex_oss.policy.retry import narrowest_window
from codex_oss.policy.scope import Scope, scope_of
from codex_oss.services.event_log import utc_now
from codex_oss.services.mission_runner import Admission
from codex_oss.services.state_files import read_plain

PATTERN_FILES: Final[Mapping[str, str]] = {
    ".codex-oss/ignore": "ignore_file_invalid",
    ".codex-oss/critical-paths": "critical_paths_invalid",
    ".codex-oss/hard-links": "hard_links_invalid",
}
"""The project's files that hide, protect or excuse paths, to the code of a line in them that is no pattern."""
MAX_FILE_BYTES: Final = 1024 * 1024
CountEntries = Callable[[str], int]
"""Allowed root, relative to the project, to the number of its direct entries; 0 when it is no folder."""


class AdmissionDesk:
    """Admits missions for one project."""

    def __init__(
        self,
        project: Path,
        config: Config,
        count_entries: CountEntries,
        profiles: Mapping[str, ModelProfile] | None = None,
        now: Callable[[], datetime] = utc_now,
        token: Callable[[], str] = lambda: secrets.token_hex(6),
        redact: Callable[[str], str] = str,
    ) -> None:
        self._project = project
        self._config = config
        self._count_entries = count_entries
        self._profiles = profiles or {}
        self._now = now
        self._token = token
        self._redact = redact

    def admit(
        self,
        raw: Mapping[str, Any],
        *,
        model_alias: str,
        profile: ModelProfile,
        tier: str | None,
        reason: str = "",
    ) -> Admission | tuple[Problem, ...]:
        """Judge a raw mission for a model.

        tier: of a `mission-a<tier>-*` name, None for a raw alias that carries a mission. reason: why *profile* is not
        what the name says; a key of `policy.deviation.REASONS`.
        Returns the admission, or all problems (errors and warnings) when there is an error.
        """
        new_id = f"mission_{self._token()}"
        if isinstance(named := raw.get("mission_id"), str) and self._redact(named) != named:
            # An id becomes names of files and folders; one that holds a secret is as good as none.
            raw = {**raw, "mission_id": new_id}
        checked = check_mission(raw, limits=self._limits(None, ""), new_id=new_id)
        if checked.mission is None:
            return self._clean(checked.problems)
        mission = checked.mission
        mismatch = check_alias_tier(mission, tier) if tier else None
        if mismatch is not None:
            return self._clean((*checked.problems, mismatch))
        classes = mission.allowed_tool_classes
        admitted = admit_model(model_alias, profile, self._profiles, mission.tier, classes, reason=reason)
        if isinstance(admitted, Problem):
            return self._clean((*checked.problems, admitted))
        fitted = self._fitted(mission, admitted.profile)
        return self._admission(fitted, model_alias, admitted.profile, admitted.admission, profile.capability)

    def readmit(self, run_id: str, opened: MissionOpened, profile: ModelProfile) -> Admission:
        """Admit a run again that was opened before: its contract and budget stand as they were logged.

        profile: for a run whose own profile is there no more.
        The contract was redacted when it was logged; a path that looked like a secret is now asked for in vain.
        """
        own = self._profiles.get(opened.profile)
        again = self._admission(opened.mission, opened.model_alias, own or profile, opened.admission)
        gone = ModelReplaced(0, opened.profile, profile.name, profile.model, "profile_gone")
        replaced = () if own is not None or profile.name == opened.profile else (gone,)
        return msgspec.structs.replace(again, run_id=run_id, root_entries=opened.root_entries, replaced=replaced)

    def _clean(self, problems: Sequence[Problem]) -> tuple[Problem, ...]:
        """*problems* without the secrets of the values that they quote."""
        return tuple(msgspec.structs.replace(one, message=self._redact(one.message)) for one in problems)

    def _fitted(self, mission: MissionV1, profile: ModelProfile) -> MissionV1:
        budget = clamp_budget(
            mission.tier,
            tool_calls=mission.budget.tool_calls_requested,
            time_s=mission.budget.time_requested_s,
            limits=self._limits(profile, mission.tier),
        )
        return msgspec.structs.replace(mission, budget=budget)

    def _limits(self, profile: ModelProfile | None, tier: str) -> BudgetLimits:
        return BudgetLimits(
            request_deadline_s=self._config.request_deadline_s,
            reserve_s=self._config.mission_reserve_s,
            turn_estimate_s=self._config.mission_turn_estimate_s,
            max_time_s=self._config.mission_max_time_s,
            profile_max_tool_calls=profile.max_tool_budget.get(tier) if profile else None,
            profile_max_seconds=profile.max_seconds.get(tier) if profile else None,
        )

    def _admission(
        self,
        mission: MissionV1,
        model_alias: str,
        profile: ModelProfile,
        model: ModelAdmission,
        asked_capability: int = 0,
    ) -> Admission:
        stamp = self._now().strftime("%Y%m%dT%H%M%S")
        config = self._config
        return Admission(
            run_id=f"{mission.mission_id}--{stamp}-{self._token()[:6]}",
            mission=mission,
            model_alias=model_alias,
            ask_model=profile.alias,
            profile=profile.name,
            upstream_model=profile.model,
            context_tokens=narrowest_window(profile, self._profiles),
            max_output_tokens=profile.max_output_tokens,
            structured_output=profile.quirks.structured_output,
            scope=self._scope(mission),
            root_entries={root: self._count_entries(root) for root in mission.allowed_roots},
            reserve_ms=round(config.mission_reserve_s * 1000),
            final_call_ms=round(config.mission_final_call_s * 1000),
            trace_level=config.visible_trace,
            trace_max_events=config.visible_trace_max_events,
            trace_max_chars=config.visible_trace_max_chars,
            lane=choose_lane(mission),
            model=model,
            replaced=_stand_in(profile, model, asked_capability),
            action_protocol=config.action_protocol or profile.action_protocol,
            replay_reasoning=profile.quirks.replay_reasoning,
        )

    def _scope(self, mission: MissionV1) -> Scope:
        """What the mission asks for, within what the project says."""
        ignore, critical, linked = (read_patterns(self._project, name) for name in PATTERN_FILES)
        return scope_of(mission, ignore=ignore, critical=critical, linked=linked)


def read_patterns(project: Path, name: str) -> tuple[str, ...]:
    """The patterns of one of `PATTERN_FILES`; empty when there is none.

    Raises StoreError when it cannot be read, with the code of `PATTERN_FILES` for a line that is no pattern.
    """
    try:
        text = read_plain(project / name, MAX_FILE_BYTES, follow_link=True).decode("utf-8", "replace")
        return parse_patterns(text)
    except FileNotFoundError:
        return ()
    except OSError as exc:
        # Going on without it would show what it hides.
        raise StoreError(f"{name} cannot be read: {exc.strerror}.") from exc
    except ValueError as exc:
        raise StoreError(f"{name} cannot be used: {exc}.", code=PATTERN_FILES[name]) from exc


def _stand_in(profile: ModelProfile, model: ModelAdmission, asked_capability: int) -> tuple[ModelReplaced, ...]:
    """The event of an admission that another model took; empty when the one that was asked for did."""
    if not model.fallback_from:
        return ()
    return (
        ModelReplaced(
            call=0,
            asked=model.fallback_from,
            answered=profile.name,
            upstream_model=profile.model,
            reason=model.fallback_reason,
            asked_capability=asked_capability,
            capability=profile.capability,
            approval=model.fallback_approval,
        ),
    )
