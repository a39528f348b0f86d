"""Defaults of the service. `load` lays the operator's courier.toml over them."""

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

RETRY_LIMIT = 5
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True)
class Settings:
    """Everything an operator may change."""

    retry_limit: int = RETRY_LIMIT
    timeout_s: float = 10.0
    max_messages: int = 1000


def load(path: Path) -> Settings:
    """Read courier.toml; a missing file means all defaults."""
    if not path.exists():
        return Settings()
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    values = {**table.get("delivery", {}), **table.get("queue", {})}
    return replace(Settings(), **values)
