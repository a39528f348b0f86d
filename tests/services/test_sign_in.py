"""Signing in inside one process: cancelled, expired, pasted, polled, one at a time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from codex_oss import __version__
from codex_oss.errors import LoginFailed, StoreError
from codex_oss.services.sign_in import DevicePrompt, Times, times_of
from tests.cli.signing_in import parameters, where_back
from tests.fakes.issuer import Issuer as RudeIssuer
from tests.services.sign_in_desk import Desk, MakeDesk, desks, fails, open_page


@pytest.fixture
def rude() -> Iterator[RudeIssuer]:
    """The issuer."""
    with RudeIssuer() as issuer:
        yield issuer


@pytest.fixture
async def make_desk(tmp_path: Path, rude: RudeIssuer) -> AsyncIterator[MakeDesk]:
    """Makes sign-in services, and closes them."""
    async with desks(tmp_path / "accounts", rude.url) as make:
        yield make


async def test_a_cancelled_sign_in_stores_nothing(make_desk: MakeDesk, rude: RudeIssuer) -> None:
    """Also when its code is being redeemed at that moment: who cancelled is not signed in later."""
    rude.slow_s = 0.4
    desk = make_desk()
    task = desk.begin()
    page = asyncio.create_task(open_page(await asyncio.to_thread(where_back, await desk.urls.get())))
    async with asyncio.timeout(20):
        while not rude.exchanges:  # noqa: ASYNC110 (the issuer is in threads)
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.gather(page, return_exceptions=True)
    await asyncio.sleep(0.6)
    assert desk.store.read().accounts == ()


async def test_nobody_comes(make_desk: MakeDesk) -> None:
    """It ends by itself; strangers that came meanwhile are named as the reason."""
    desk = make_desk(wait_s=0.05)
    assert await fails(desk.begin()) == "login_expired"
    desk = make_desk(wait_s=1.0)
    task = desk.begin()
    back = parameters(await desk.urls.get())["redirect_uri"]
    assert (await open_page(f"{back}?state=x&code=y"))[0] == 400
    assert await fails(task) == "login_state_mismatch"


async def test_one_at_a_time(make_desk: MakeDesk) -> None:
    """A second one in the same process is rejected at once; the first is not disturbed."""
    desk = make_desk()
    task = desk.begin()
    url = await desk.urls.get()
    assert await fails(desk.begin()) == "login_under_way"
    assert (await open_page(url))[0] == 200
    await task


async def test_pasted_while_the_browser_is_away(make_desk: MakeDesk) -> None:
    """What is typed counts as the browser; what is no address is complained of, and the waiting goes on."""
    desk = make_desk()
    typed: asyncio.Queue[str] = asyncio.Queue()
    complaints: list[str] = []
    task = desk.begin(paste=typed.get, complain=complaints.append)
    back = await asyncio.to_thread(where_back, await desk.urls.get())
    for text in ("hello there", back.replace("state=", "state=x"), back):
        typed.put_nowait(text)
    assert (await asyncio.wait_for(task, 20)).email == "ann@x.y"
    assert len(complaints) == 2


async def test_cancelling_the_task_frees_the_port(make_desk: MakeDesk) -> None:
    """As Ctrl-C does: nothing is left behind."""
    desk = make_desk()
    task = desk.begin()
    url = await desk.urls.get()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    port = int(parameters(url)["redirect_uri"].split(":")[2].partition("/")[0])
    socket.create_server(("127.0.0.1", port)).close()
    assert (await open_page_of(desk)) == 200


async def open_page_of(desk: Desk) -> int:
    """A whole new sign-in; the status of its page."""
    task = desk.begin()
    status = (await open_page(await desk.urls.get()))[0]
    await task
    return status


async def test_device_polls_as_it_is_told(
    make_desk: MakeDesk, rude: RudeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every form of "not yet", and slow_down; the pauses are those that were asked for."""
    pauses: list[float] = []
    real = asyncio.sleep

    async def sleep(pause_s: float) -> None:
        pauses.append(pause_s)
        await real(0)

    monkeypatch.setattr("codex_oss.services.sign_in.asyncio.sleep", sleep)
    rude.pages.interval = "2"
    rude.pages.script = [
        "pending",
        "pending_403",
        "slow_down",
        "pending_404",
        "busy",
        "broken",
        "challenge_200",
        "grant",
    ]
    shown: list[DevicePrompt] = []
    account = await make_desk().sign_in.by_device(shown.append)
    assert account.email == "ann@x.y"
    assert shown == [DevicePrompt(f"{rude.url}/codex/device", "ABCD-12345")]
    assert pauses == [5.0, 5.0, 7.0, 7.0, 7.0, 7.0, 7.0]
    assert rude.agents == {f"codex-oss/{__version__}"}


async def test_device_ends_in_time(make_desk: MakeDesk) -> None:
    """Nobody types the code: expired."""
    desk = make_desk(device_s=0.2)
    with pytest.raises(LoginFailed) as caught:
        await desk.sign_in.by_device(lambda prompt: None)
    assert caught.value.code == "login_expired"


async def test_paste_ends_in_time_and_after_some_tries(make_desk: MakeDesk) -> None:
    """Nobody pastes: expired; nonsense only: cancelled."""

    async def never() -> str:
        await asyncio.sleep(60)
        return ""

    async def nonsense() -> str:
        return "what now"

    for paste, code in ((never, "login_expired"), (nonsense, "login_cancelled")):
        with pytest.raises(LoginFailed) as caught:
            await make_desk(wait_s=0.2).sign_in.by_paste(lambda url: None, paste)
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("environ", "times"),
    [
        ({}, Times(600.0, 600.0, 2.0, 60.0)),
        ({"CODEX_OAUTH_CALLBACK_TIMEOUT_MS": "59999", "CODEX_DEVICE_AUTH_TIMEOUT_MS": "999"}, Times()),
        ({"CODEX_OAUTH_CALLBACK_TIMEOUT_MS": "60000", "CODEX_DEVICE_AUTH_TIMEOUT_MS": "1500"}, Times(60.0, 1.5)),
        ({"CODEX_OAUTH_SERVER_SHUTDOWN_ERROR_GRACE_MS": "0"}, Times(failed_grace_s=0.0)),
        ({"CODEX_OAUTH_CALLBACK_TIMEOUT_MS": "-1", "CODEX_DEVICE_AUTH_TIMEOUT_MS": "9" * 50}, Times()),
    ],
)
def test_times(environ: dict[str, str], times: Times) -> None:
    """The environment may change them; what is too short or no number is ignored."""
    assert times_of(environ) == times


async def test_a_damaged_store_is_said_first(make_desk: MakeDesk) -> None:
    """Before the person goes through a sign-in in vain; the next one works."""
    desk = make_desk()
    desk.store.folder.mkdir()
    desk.store.path.write_bytes(b"{")
    with pytest.raises(StoreError):
        await desk.begin()
    assert desk.urls.empty()
    assert await open_page_of(desk) == 200
