"""One thing that an audit looked at.

Counterparts: `services.audit` and `services.audit_claims` make them.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Outcome = Literal["PASS", "FAIL", "WARN"]
VerdictName = Literal["integrity", "completeness", "projections", "claims"]


class Check(Struct, frozen=True):
    """One thing that was looked at."""

    verdict: VerdictName
    name: str
    status: Outcome
    message: str
