"""Ports that others hold: who makes room, who stays, and what is said then."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from codex_oss.errors import LoginFailed
from tests.cli.signing_in import parameters
from tests.fakes.issuer import Issuer as RudeIssuer
from tests.services.sign_in_desk import MakeDesk, desks, fails, open_page


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
