"""The real OpenCode against a rude upstream, through both of its providers, and that continuing the session works.

OpenCode asks again for ever (2, 4, 8 … s) where it believes that it helps, so the upstream is rude once and then kind:
what is recorded is whether OpenCode healed, gave up, or took what it got.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.programs import OpenCodeRun, find_client, make_project, run_opencode
from tests.clients.rude import AGAIN, OPENCODE_DAILY, RECOVERED, Row, Seen, judge, plain, rows, rude_bridge
from tests.fakes.bridge_process import LOCAL_KEY

pytestmark = [pytest.mark.client, pytest.mark.slow]

MODEL = "ocg-kimi-k2.6"
PACKAGES = {"opencode-responses": "@ai-sdk/openai", "opencode-chat": "@ai-sdk/openai-compatible"}
TIMEOUT_S = 100.0


def shown_of(run: OpenCodeRun) -> str:
    """The texts, and the error if there is one."""
    errors = [event.get("error", {}) for event in run.events if event.get("type") == "error"]
    told = [str(error.get("data", {}).get("message") or error.get("name")) for error in errors]
    return " / ".join([*(part["text"] for part in run.parts("text")), *told])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for all rows of a worker: its first start takes twice as long."""
    return tmp_path_factory.mktemp("opencode") / "home"


@pytest.mark.parametrize("client", ["opencode-responses", pytest.param("opencode-chat", marks=pytest.mark.rude)])
@pytest.mark.timeout(240)
@pytest.mark.parametrize("row", rows(*OPENCODE_DAILY))
def test_a_rude_upstream(tmp_path: Path, home: Path, row: Row, client: str) -> None:
    """OpenCode ends by itself as recorded, and the next prompt of the same session is answered."""
    opencode, project = find_client("opencode"), make_project(tmp_path)
    with rude_bridge(project, row, times=1) as (model, relay, _bridge):

        def run(prompt: str, session: str = "") -> OpenCodeRun:
            return run_opencode(
                opencode,
                relay.base_url,
                project,
                prompt,
                MODEL,
                package=PACKAGES[client],
                timeout_s=TIMEOUT_S,
                key=LOCAL_KEY,
                session=session,
                home=home,
            )

        first = run("hi")
        requests = model.asked
        session = next(str(event["sessionID"]) for event in first.events if "sessionID" in event)
        again = run(AGAIN, session)
    answered = again.exit_code == 0 and shown_of(again).endswith(RECOVERED)
    following = "answered" if answered else f"{again.exit_code}: {shown_of(again)}"
    judge(client, row, Seen(str(first.exit_code), requests, plain(shown_of(first)), following))
