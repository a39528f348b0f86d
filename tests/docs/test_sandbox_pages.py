"""What docs/sandbox.md, docs/instructions.md and docs/diagnostics.md say in numbers and names is what the code has."""

from __future__ import annotations

from codex_oss.accounts.persona import BANDS
from codex_oss.services.attempt_snapshots import MAX_BYTES, MAX_FILES
from codex_oss.services.instruction_sets import manifest
from codex_oss.services.report import MAX_FAILURES, MAX_REQUESTS
from codex_oss.services.sandbox import LADDER
from codex_oss.services.sandbox_child import TICK_S
from codex_oss.services.sandbox_enclosure import KEPT_NAMES, Limits
from tests.docs.markdown import ROOT


def page(name: str) -> str:
    """A page with its line ends as spaces."""
    return " ".join((ROOT / "docs" / name).read_text().split())


def test_the_bounds_of_a_command() -> None:
    """Memory, processes, size of a file, the distance of two looks, the levels."""
    told, limits = page("sandbox.md"), Limits(timeout_s=1.0)
    assert f"{limits.memory_bytes >> 30} GiB of memory for each process" in told
    assert f"{limits.processes} processes, {limits.file_bytes >> 30} GiB for a file" in told
    assert f"every {TICK_S * 1000:.0f} ms" in told
    assert all(f"| `{level}` |" in told for level in LADDER)
    assert {"LANG", "TZ", "CI"} <= KEPT_NAMES


def test_the_sets_that_are_shipped() -> None:
    """Every one by name and kind, and the upper bounds of the styles."""
    told = page("instructions.md")
    assert all(f"`{name}`" in told and f"| {row['kind']} |" in told for name, row in manifest().items())
    assert (
        "`lean` up to {} tokens, `mid` up to {}, `friendly-sized` up to {}".format(
            *(band[1] for band in BANDS.values())
        )
        in told
    )


def test_the_bounds_of_diagnostics() -> None:
    """Requests, failures, files and bytes."""
    told = page("diagnostics.md")
    assert f"counts of the last {MAX_REQUESTS} requests, and the last {MAX_FAILURES} failures" in told
    assert f"The newest {MAX_FILES} files stay, {MAX_BYTES >> 20} MiB at most" in told
