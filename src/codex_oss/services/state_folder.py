"""`.codex-oss`, the folder in a project where the bridge keeps its records and state.

Counterparts: `services.instance` (the bridge) and `services.mission_store` (a mission without one) open it first.

Rules that hold here:

1. It is private to the user: mode 0700, never a link.
2. It keeps itself out of git, because it holds excerpts of files and conversations. What a team may want to commit
   (`config.toml`, `models.toml`, `ignore`, `critical-paths`, `hard-links`) is left visible. A `.gitignore` that is
   there already is left as it is.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from codex_oss.services.state_files import ensure_private_dir, write_atomic

STATE_DIR: Final = ".codex-oss"
GITIGNORE: Final = b"""# Written by codex-oss: records and state stay out of git, settings may be committed.
*
!config.toml
!models.toml
!ignore
!critical-paths
!hard-links
"""


def open_state_folder(folder: Path) -> None:
    """Make the folder if it is not there, private and out of git. Errors: StoreError."""
    ensure_private_dir(folder)
    guard = folder / ".gitignore"
    if not os.path.lexists(guard):
        write_atomic(guard, GITIGNORE, durable=False)
