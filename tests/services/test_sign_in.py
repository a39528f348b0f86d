"""Signing in inside one process: the listener and its peers, the ports, the times, one at a time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from codex_oss.accounts.account import Account
from codex_oss.accounts.sign_in_pages import HEADERS
from codex_oss.errors import LoginFailed, StoreError
from codex_oss.services import callback_server
from codex_oss.services.account_store import AccountStore
from codex_oss.services.issuer import Issuer
from codex_oss.services.sign_in import DevicePrompt, SignIn, Times, times_of
from tests.cli.signing_in import parameters, visit, where_back
from tests.fakes.issuer import Issuer as RudeIssuer


@pytest.fixture
def rude() -> Iterator[RudeIssuer]:
    """The issuer."""
    with RudeIssuer() as issuer:
        yield issuer


class Desk:
    """A sign-in service, and what it showed."""

    def __init__(self, folder: Path, url: str, times: Times) -> None:
        self.store = AccountStore(folder)
        self.issuer = Issuer(url)
        self.sign_in = SignIn(self.store, self.issuer, times=times)
        self.urls: asyncio.Queue[str] = asyncio.Queue()

    def begin(self, **options: Any) -> asyncio.Task[Account]:
        """A sign-in by browser, on any port unless told."""
        return asyncio.create_task(self.sign_in.by_browser(self.urls.put_nowait, **{"ports": (0,), **options}))


MakeDesk = Callable[..., Desk]


@pytest.fixture
async def make_desk(tmp_path: Path, rude: RudeIssuer) -> AsyncIterator[MakeDesk]:
    """Makes sign-in services, and closes them."""
    made: list[Desk] = []

    def make(**times: float) -> Desk:
        made.append(Desk(tmp_path / "accounts", rude.url, Times(**times)))
        return made[-1]

    yield make
    for desk in made:
        await desk.sign_in.aclose()
        await desk.issuer.aclose()


async def open_page(url: str) -> tuple[int, str, Any]:
    """`visit`, beside the loop."""
    return await asyncio.to_thread(visit, url)


async def ask(url: str, text: str) -> str:
    """Send these bytes to the listener of a sign-in; everything that comes back."""
    port = int(parameters(url)["redirect_uri"].split(":")[2].partition("/")[0])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text.replace("PORT", str(port)).encode())
    data = await reader.read()
    writer.close()
    return data.decode()


async def fails(task: asyncio.Task[Account]) -> str:
    """The code that a sign-in ends with."""
    with pytest.raises(LoginFailed) as caught:
        await asyncio.wait_for(task, 30)
    return caught.value.code


GET = "GET {} HTTP/1.1\r\nHost: {}\r\n\r\n"


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (GET.format("/", "localhost:PORT"), 404),
        (GET.format("/auth/callback/", "127.0.0.1:PORT"), 404),
        (GET.format("/success?needs_setup=true&platform_url=https://evil.example", "[::1]:PORT"), 404),
        (GET.format("/auth/callback?state=x&code=y", "localhost:PORT"), 400),
        (GET.format("/cancel?state=x", "localhost:PORT"), 400),
        (GET.format("/auth/callback?STATE", "evil.example:PORT"), 403),
        (GET.format("/auth/callback?STATE", "localhost"), 403),
        (GET.format("/auth/callback?STATE", "localhost:1"), 403),
        ("HEAD /auth/callback?STATE HTTP/1.1\r\nHost: localhost:PORT\r\n\r\n", 405),
        ("POST /auth/callback?STATE HTTP/1.1\r\nHost: localhost:PORT\r\nContent-Length: 0\r\n\r\n", 405),
        ("GET /auth/callback?STATE HTTP/1.0\r\n\r\n", 403),
        (GET.format("/auth/callback?" + "&".join(f"a{n}=1" for n in range(100)), "localhost:PORT"), 400),
    ],
)
async def test_what_is_not_the_callback(make_desk: MakeDesk, request_text: str, status: int) -> None:
    """Refused with hardened headers, and the sign-in still waits; a right callback wins afterwards."""
    desk = make_desk()
    task = desk.begin()
    url = await desk.urls.get()
    right = f"state={parameters(url)['state']}&code=c"
    answer = await ask(url, request_text.replace("STATE", right))
    head = answer.partition("\r\n\r\n")[0].lower()
    assert head.startswith((f"http/1.1 {status} ", f"http/1.0 {status} ")), answer
    for name, value in HEADERS.items():
        assert f"{name}: {value}".lower() in head
    assert not task.done()
    assert (await open_page(url))[0] == 200
    assert (await task).email == "ann@x.y"


async def test_a_peer_elsewhere_is_refused(make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it brings. (Only the judgement is replaced: nobody else can reach a loopback address.)"""
    desk = make_desk()
    task = desk.begin()
    url = await desk.urls.get()
    with monkeypatch.context() as patch:
        patch.setattr(callback_server, "_is_loopback", lambda host: False)
        assert (await open_page(url))[0] == 403
    assert not task.done()
    assert (await open_page(url))[0] == 200
    await task


@pytest.mark.parametrize(
    ("host", "ours"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", True), ("::ffff:10.0.0.1", False),
     ("192.168.0.7", False), ("fe80::1%eth0", False), ("", False), ("localhost", False)],
)  # fmt: skip
def test_who_is_of_this_machine(host: str, ours: bool) -> None:
    """By number, mapped ones too."""
    assert callback_server._is_loopback(host) is ours


async def test_a_code_is_used_once(make_desk: MakeDesk, rude: RudeIssuer) -> None:
    """A second hit while the first is being redeemed, and one afterwards, get an error page."""
    rude.slow_s = 0.3
    desk = make_desk(ok_grace_s=30)
    task = desk.begin()
    back = await asyncio.to_thread(where_back, await desk.urls.get())
    first = asyncio.create_task(open_page(back))
    await asyncio.sleep(0.15)
    second = await open_page(back)
    assert [(await first)[0], second[0], (await open_page(back))[0]] == [200, 400, 400]
    await task
    assert len(rude.exchanges) == 1


async def test_a_browser_that_leaves_does_not_end_it(make_desk: MakeDesk, rude: RudeIssuer) -> None:
    """The code is redeemed and the account stored although nobody reads the page."""
    rude.slow_s = 0.2
    desk = make_desk()
    task = desk.begin()
    url = await desk.urls.get()
    back = await asyncio.to_thread(where_back, url)
    port = int(back.split(":")[2].partition("/")[0])
    with socket.create_connection(("127.0.0.1", port)) as browser:
        browser.sendall(GET.format(back.partition(str(port))[2], f"localhost:{port}").encode())
    assert (await asyncio.wait_for(task, 20)).email == "ann@x.y"
    assert len(desk.store.read().accounts) == 1


async def test_a_failed_page_can_be_loaded_again(make_desk: MakeDesk, rude: RudeIssuer) -> None:
    """The listener stays a while after an error; the next sign-in ends that at once, on the same port."""
    rude.pages.visits = ["deny"]
    desk = make_desk(failed_grace_s=60)
    task = desk.begin()
    url = await desk.urls.get()
    back = await asyncio.to_thread(where_back, url)
    assert (await open_page(back))[0] == 200
    assert await fails(task) == "login_denied"
    status, text, _ = await open_page(back)
    assert (status, "Not signed in" in text) == (200, True)
    port = int(back.split(":")[2].partition("/")[0])
    again = desk.begin(ports=(port,))
    assert (await open_page(await desk.urls.get()))[0] == 200
    await again


async def test_the_listener_goes(make_desk: MakeDesk) -> None:
    """Shortly after a success the port is free."""
    desk = make_desk(ok_grace_s=0.05)
    task = desk.begin()
    url = await desk.urls.get()
    await open_page(url)
    await task
    port = int(parameters(url)["redirect_uri"].split(":")[2].partition("/")[0])
    async with asyncio.timeout(10):
        while True:
            try:
                socket.create_server(("127.0.0.1", port)).close()
                break
            except OSError:
                await asyncio.sleep(0.05)


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


async def test_the_second_port(make_desk: MakeDesk) -> None:
    """A foreign listener stays where it is; the address says so. Of two ports that are held both owners are named."""
    desk = make_desk()
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        one.listen()
        held = (one.getsockname()[1], two.getsockname()[1])
        with pytest.raises(LoginFailed) as caught:
            await desk.begin(ports=held)
        assert caught.value.code == "login_port_busy"
        assert all(f"port {port} is held by " in caught.value.message for port in held)
        two.close()
        task = desk.begin(ports=held)
        url = await desk.urls.get()
        assert f":{held[1]}/" in parameters(url)["redirect_uri"]
        assert (await open_page(url))[0] == 200
        await task


async def test_the_other_loopback_address_counts(make_desk: MakeDesk) -> None:
    """A port whose ::1 belongs to somebody else is not ours: a browser might go there first."""
    try:
        other = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no ::1")
    with other:
        desk = make_desk()
        with pytest.raises(LoginFailed) as caught:
            await desk.begin(ports=(other.getsockname()[1],))
        assert caught.value.code == "login_port_busy"


async def test_a_listener_that_waits_for_nothing_makes_room(make_desk: MakeDesk, rude: RudeIssuer) -> None:
    """One of ours that only stays for a page goes when the next sign-in asks; one that waits for its person stays."""
    old, new = make_desk(failed_grace_s=60), make_desk()
    rude.pages.visits = ["deny"]
    task = old.begin()
    url = await old.urls.get()
    port = int(parameters(url)["redirect_uri"].split(":")[2].partition("/")[0])
    assert await fails(new.begin(ports=(port,))) == "login_port_busy"
    assert not task.done()
    await open_page(url)
    assert await fails(task) == "login_denied"
    again = new.begin(ports=(port,))
    assert (await open_page(await asyncio.wait_for(new.urls.get(), 20)))[0] == 200
    await again


async def test_a_stale_listener_of_the_official_client_makes_room(make_desk: MakeDesk) -> None:
    """It goes when it is asked by /cancel, without a state; then the port is ours."""
    asked = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readline()).decode().split()[1])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()
        server.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    desk = make_desk()
    task = desk.begin(ports=(port,))
    assert (await open_page(await asyncio.wait_for(desk.urls.get(), 20)))[0] == 200
    await task
    assert asked == ["/cancel"]


async def test_a_silent_listener_is_not_waited_for(make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who takes the connection and says nothing holds the port, and costs a moment only."""
    monkeypatch.setattr("codex_oss.services.callback_ports.CANCEL_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert await fails(make_desk().begin(ports=(silent.getsockname()[1],))) == "login_port_busy"


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
