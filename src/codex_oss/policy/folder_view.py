"""What of a folder a search may meet, decided for all its files at once where the scope treats them alike.

Counterparts: `policy.scope.check_path` is the verdict on one path; this is the same verdict on a hundred thousand.
`services.tool_host` walks with it.
"""

from __future__ import annotations

import re
from fnmatch import translate

from codex_oss.policy.critical_paths import BUILT_IN, is_critical
from codex_oss.policy.denied_names import fold, may_be_denied
from codex_oss.policy.globs import compared_form, covers, glob_matches
from codex_oss.policy.scope import WHOLE_PROJECT, Scope, check_path


class ScopeFilter:
    """What a walk may meet. critical: how many critical files and folders it left out, each folder counted once."""

    def __init__(self, scope: Scope, glob: str | None = None) -> None:
        self._scope = scope
        self._glob = glob
        self._name_glob = (
            re.compile(translate(glob)) if glob and glob.isascii() and not set("/{}") & set(glob) else None
        )
        self.critical = 0

    def __call__(self, path: str, kind: str) -> bool:
        """Whether *path* may be shown. kind: `folder` for one that a walk goes through, else any file's."""
        verdict = check_path(path, self._scope, walk=kind == "folder")
        wanted = kind == "folder" or self._glob is None or glob_matches(path, self._glob)
        self.critical += wanted and verdict.code == "critical_path_detected"
        return verdict.allowed and wanted

    def files(self, folder: str, names: list[str]) -> list[str]:
        """Those of the files *names* in *folder* (empty: the project) that may be shown."""
        prefix = f"{folder}/" if folder else ""
        if not self._alike(folder) or may_be_denied("\n".join(names)):
            return [name for name in names if self(prefix + name, "file")]
        if self._name_glob is not None:
            matches = self._name_glob.match
            return [name for name in names if matches(name)]
        return list(names)

    def _alike(self, folder: str) -> bool:
        """Whether the scope says the same of every file in *folder* whose name is not denied."""
        scope, path = self._scope, folder or WHOLE_PROJECT
        if scope.ignored or scope.forbidden or scope.critical or not path.isascii():
            return False
        if self._glob is not None and self._name_glob is None:
            return False
        covered = any(covers(compared_form(root), path) for root in scope.roots)
        folded = fold(path)
        below = any(root.rpartition("/")[0] in (folded, "" if folded == WHOLE_PROJECT else folded) for root in BUILT_IN)
        return covered and not below and not is_critical(folded, ())
