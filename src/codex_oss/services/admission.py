"""Admission: from what a client sent to a mission that may run, or to every reason why it may not.

Counterparts: `contracts.handoff` finds the block, `contracts.validation` judges it, `policy.routing` chose the profile;
`services.mission_runner` runs what is admitted here.

Rules that hold here:

1. Nothing is read, asked or written before a mission is admitted, but the number of entries in its roots.
2. The tier of the model name and the tier of the mission must agree.
3. The profile may lower the budget, never raise it.
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
from codex_oss.missions.events import MissionOpened
from codex_oss.policy.scope import scope_of
from codex_oss.services.event_log import utc_now
from codex_oss.services.mission_runner import Admission
from codex_oss.services.state_files import read_plain

IGNORE_FILE: Final = ".codex-oss/ignore"
MAX_IGNORE_BYTES: Final = 1024 * 1024
CountEntries = Callable[[str], int]
"""Allowed root, relative to the project, to the number of its direct entries; 0 when it is no folder."""


class AdmissionDesk:
    """Admits missions for one project."""

    def __init__(
        self,
        project: Path,
        config: Config,
        count_entries: CountEntries,
        now: Callable[[], datetime] = utc_now,
        token: Callable[[], str] = lambda: secrets.token_hex(6),
    ) -> None:
        self._project = project
        self._config = config
        self._count_entries = count_entries
        self._now = now
        self._token = token

    def admit(
        self, raw: Mapping[str, Any], *, model_alias: str, profile: ModelProfile, tier: str | None
    ) -> Admission | tuple[Problem, ...]:
        """Judge a raw mission for a model.

        tier: of a `mission-a<tier>-*` name, None for a raw alias that carries a mission.
        Returns the admission, or all problems (errors and warnings) when there is an error.
        """
        checked = check_mission(raw, limits=self._limits(None, ""), new_id=f"mission_{self._token()}")
        if checked.mission is None:
            return checked.problems
        mismatch = check_alias_tier(checked.mission, tier) if tier else None
        if mismatch is not None:
            return (*checked.problems, mismatch)
        return self._admission(self._fitted(checked.mission, profile), model_alias, profile)

    def readmit(self, run_id: str, opened: MissionOpened, profile: ModelProfile) -> Admission:
        """Admit a run again that was opened before: its contract and budget stand as they were logged.

        The contract was redacted when it was logged; a path that looked like a secret is now asked for in vain.
        """
        again = self._admission(opened.mission, opened.model_alias, profile)
        return msgspec.structs.replace(again, run_id=run_id, root_entries=opened.root_entries)

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

    def _admission(self, mission: MissionV1, model_alias: str, profile: ModelProfile) -> Admission:
        stamp = self._now().strftime("%Y%m%dT%H%M%S")
        config = self._config
        return Admission(
            run_id=f"{mission.mission_id}--{stamp}-{self._token()[:6]}",
            mission=mission,
            model_alias=model_alias,
            ask_model=profile.alias,
            profile=profile.name,
            upstream_model=profile.model,
            context_tokens=profile.context_tokens,
            max_output_tokens=profile.max_output_tokens,
            structured_output=profile.quirks.structured_output,
            scope=scope_of(mission, ignore=self._ignored()),
            root_entries={root: self._count_entries(root) for root in mission.allowed_roots},
            reserve_ms=round(config.mission_reserve_s * 1000),
            final_call_ms=round(config.mission_final_call_s * 1000),
            trace_level=config.visible_trace,
            trace_max_events=config.visible_trace_max_events,
            trace_max_chars=config.visible_trace_max_chars,
            action_protocol=config.action_protocol or profile.action_protocol,
            replay_reasoning=profile.quirks.replay_reasoning,
        )

    def _ignored(self) -> Sequence[str]:
        """Patterns of the project's ignore file; `#` begins a comment."""
        try:
            data = read_plain(self._project / IGNORE_FILE, MAX_IGNORE_BYTES, follow_link=True)
        except FileNotFoundError:
            return ()
        except OSError as exc:
            # Going on without it would show what it hides.
            raise StoreError(f"{IGNORE_FILE} cannot be read: {exc.strerror}.") from exc
        text = data.decode("utf-8", "replace")
        lines = (line.strip() for line in text.splitlines())
        return tuple(line for line in lines if line and not line.startswith("#"))
