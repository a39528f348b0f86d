"""Snapshots behind the real bridge: off by default; on, each attempt of a turn is kept and says nothing of anybody."""

from __future__ import annotations

import json
from pathlib import Path

from tests.fakes.account_bench import account_bench, text_of
from tests.fakes.chatgpt_backend import said, used_up


def test_each_attempt_is_kept(tmp_path: Path) -> None:
    """A turn that moved to a second account: two requests, their answers, no word of what was said."""
    with account_bench(tmp_path, CODEX_OSS_SNAPSHOTS="1") as bench:
        bench.seat("a", "b")
        bench.backend.answers = lambda turn: said("canary answer")
        bench.backend.next("acc-a", used_up(3600))
        assert text_of(bench.ask("canary question", instructions="canary instructions")) == "canary answer"
        folder = bench.folder / "snapshots"
        told = {path.name.split("-", 2)[2]: json.loads(path.read_text()) for path in folder.iterdir()}
        texts = "".join(path.read_text() for path in folder.iterdir())
    assert [(told["1-answer.json"]["status"]), (told["2-answer.json"]["status"])] == [429, 200]
    assert told["1-request.json"]["account"] != told["2-request.json"]["account"]
    assert told["1-request.json"]["path"] == "/backend-api/codex/responses"
    for word in ("canary", "acc-a", "acc-b", "@"):
        assert word not in texts


def test_nothing_is_kept_by_default(tmp_path: Path) -> None:
    """There is not even a folder."""
    with account_bench(tmp_path) as bench:
        bench.seat("a")
        text_of(bench.ask("hi"))
        assert not (bench.folder / "snapshots").exists()
