"""The ledger of a test worker: what the tap noted since the last look, and what is wrong with it.

Every object is checked. Of a stress test's deltas only the first `CHECKED_WHOLE` of each type since the last look, and
then every `SAMPLED`th: they are all made by the same line.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from tests.official.schema import problem_of_chunk, problem_of_completion, problem_of_event, problem_of_response

CHECKED_WHOLE: Final = 300
SAMPLED: Final = 50
MAX_PROBLEMS: Final = 5
CHECKS: Final[dict[str, Callable[[Any], str]]] = {
    "event": problem_of_event,
    "response": problem_of_response,
    "chunk": problem_of_chunk,
    "completion": problem_of_completion,
}


class Ledger:
    """folder: where the processes of this worker note what they emit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checked: Counter[str] = Counter()
        """How many values of each type were held against the official types, over all looks."""
        self._read: dict[Path, int] = {}

    def problems(self) -> list[str]:
        """Check what is new; the first few problems, each in one line."""
        found: list[str] = []
        seen: Counter[str] = Counter()
        for kind, line in self._new_lines():
            seen[kind + _type_of(line)] += 1
            count = seen[kind + _type_of(line)]
            if count > CHECKED_WHOLE and count % SAMPLED:
                continue
            value = json.loads(line)
            self.checked[value.get("type") or kind] += 1
            problem = CHECKS[kind](value)
            if problem and len(found) < MAX_PROBLEMS:
                found.append(problem)
        return found

    def _new_lines(self) -> Iterator[tuple[str, bytes]]:
        for path in sorted(self.folder.glob("*.tap")):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self._read[path] = self._read.get(path, 0) + len(line)
                    kind, _, value = line.partition(b" ")
                    yield kind.decode(), value


def _type_of(line: bytes) -> str:
    """The type without parsing: our encoders write it first."""
    return line[:60].partition(b'"type":"')[2].partition(b'"')[0].decode("ascii", "replace")
