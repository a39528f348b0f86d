"""The listener that a browser comes back to: what it answers, to whom, and when it goes."""

from __future__ import annotations

import asyncio
import socket
import urllib.error
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from codex_oss.accounts.sign_in_pages import HEADERS
from codex_oss.services import callback_server
from tests.cli.signing_in import parameters, where_back
from tests.fakes.issuer import Issuer as RudeIssuer
from tests.services.sign_in_desk import MakeDesk, ask, desks, fails, open_page


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
    again = desk.begin()
    url = await desk.urls.get()
    with pytest.raises(urllib.error.URLError):
        await open_page(back)
    assert (await open_page(url))[0] == 200
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


async def test_a_page_that_keeps_trying_does_not_fill_the_terminal(
    make_desk: MakeDesk, caplog: pytest.LogCaptureFixture
) -> None:
    """A few warnings are enough, and none of them holds what came."""
    desk = make_desk()
    task = desk.begin()
    url = await desk.urls.get()
    for number in range(6):
        assert (await open_page(f"{parameters(url)['redirect_uri']}?state=guess{number}&code=c"))[0] == 400
    assert len(caplog.records) == 3
    assert "guess" not in caplog.text
    assert (await open_page(url))[0] == 200
    await task
