"""Beginning a mission that nobody needs to watch: in the running bridge of the project, or in a process of its own.

Counterparts: `server.missions_api` in the bridge; without one, `codex-oss mission run` in a session of its own, whose
output lies in `.codex-oss/logs/`.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from codex_oss.cli.mission_client import Errand, is_ours, refusal_of
from codex_oss.errors import StoreError, Unavailable, UpstreamProtocolError
from codex_oss.services.bridge_process import Running, find_bridge
from codex_oss.services.mission_store import MissionStore
from codex_oss.services.settings import read_settings
from codex_oss.services.state_files import ensure_private_dir
from codex_oss.services.state_folder import STATE_DIR, open_state_folder

BEGIN_WAIT_S: Final = 30.0
POLL_S: Final = 0.05
MAX_OUTPUT_BYTES: Final = 4096


def begin_detached(project: Path, errand: Errand) -> str:
    """Begin a mission and return the id of its run, once the run's first event is in its log.

    Raises RequestError when the bridge refuses it, StoreError
    `mission_not_begun` when the process that should run it ended before.
    """
    bridge = find_bridge(project)
    settings = read_settings(project, {}, os.environ)
    if isinstance(bridge, Running) and is_ours(bridge, settings.config):
        begun = begin_in_bridge(
            bridge, settings.config.local_key, errand.handoff, errand.model, commentary=errand.commentary
        )
        return asyncio.run(begun)[1]
    return _begin_process(project, errand)


class _Begun(Struct):
    mission_id: str
    run_id: str


async def begin_in_bridge(
    bridge: Running, key: str, handoff: str | Mapping[str, Any], model: str, *, commentary: str | None = None
) -> tuple[str, str]:
    """Begin a mission in a running bridge; the ids of mission and run. handoff: the raw mission or the tagged text.

    commentary: its level; None for what the bridge is set to.
    Raises RequestError when it is refused, Unavailable when the bridge does not answer.
    """
    import aiohttp

    address = bridge.base_url.removesuffix("/v1") + "/api/missions"
    body = {"handoff": handoff, "model": model, **({"commentary": commentary} if commentary else {})}
    timeout = aiohttp.ClientTimeout(total=BEGIN_WAIT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(address, json=body, headers={"Authorization": f"Bearer {key}"}) as answer,
        ):
            data = await answer.read()
            if answer.status != 202:
                raise refusal_of(answer.status, data)
            begun = msgspec.json.decode(data, type=_Begun)
            return begun.mission_id, begun.run_id
    except msgspec.MsgspecError as exc:
        raise UpstreamProtocolError(f"What answers at {address} does not speak like a bridge.") from exc
    except (aiohttp.ClientError, TimeoutError) as exc:
        raise Unavailable(f"The bridge at {address} did not answer.", hint="`codex-oss status` says more.") from exc


def _begin_process(project: Path, errand: Errand) -> str:
    store, mission_id = MissionStore(project), errand.mission_id
    before = set(store.runs_of(mission_id))
    output = _output_file(project, mission_id)
    command = [sys.executable, "-P", "-m", "codex_oss", "mission", "run", "-", "--model", errand.model]
    command += ["--project", str(project), *(["--commentary", errand.commentary] if errand.commentary else [])]
    with output.open("wb") as log:
        child = subprocess.Popen(  # noqa: S603 (our own program)
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, cwd=project
        )
    assert child.stdin is not None
    with child.stdin:
        child.stdin.write(errand.handoff.encode())
    deadline = time.monotonic() + BEGIN_WAIT_S
    while time.monotonic() < deadline:
        begun = [run_id for run_id in store.runs_of(mission_id) if run_id not in before]
        if begun:
            return begun[-1]
        if child.poll() is not None:
            break
        time.sleep(POLL_S)
    told = output.read_bytes()[-MAX_OUTPUT_BYTES:].decode("utf-8", "replace").strip()
    raise StoreError(f"The mission did not begin: {told or 'its process said nothing.'}", code="mission_not_begun")


def _output_file(project: Path, mission_id: str) -> Path:
    folder = project / STATE_DIR
    open_state_folder(folder)
    ensure_private_dir(folder / "logs")
    path = folder / "logs" / f"mission-{mission_id}.log"
    path.unlink(missing_ok=True)  # may be a link in somebody else's clone
    path.touch(mode=0o600, exist_ok=False)
    return path
