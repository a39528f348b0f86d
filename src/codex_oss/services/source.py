"""The hash of the program's own source, so that `status` can tell a stale bridge from a fresh one.

Counterparts: the bridge states it in `/health` and `bridge.json`; `codex-oss status` computes it anew and compares.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

PACKAGE_ROOT: Final = Path(__file__).resolve().parent.parent
SKIPPED_SUFFIXES: Final = (".pyc", ".pyo")


def source_hash(root: Path = PACKAGE_ROOT) -> str:
    """SHA-256 (hex) over path and bytes of every file below *root*, in the order of the paths.

    Each entry is framed by its lengths, so that moving bytes between files changes the hash.
    """
    digest = hashlib.sha256()
    for relative, path in sorted((path.relative_to(root).as_posix(), path) for path in root.rglob("*")):
        if path.suffix in SKIPPED_SUFFIXES or not path.is_file():
            continue
        name, data = relative.encode(), path.read_bytes()
        digest.update(b"%d %d\n" % (len(name), len(data)) + name + data)
    return digest.hexdigest()
