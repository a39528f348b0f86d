"""The account manager: what each key does to the file, and what the screen says of it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from textual.widgets import DataTable

from codex_oss.accounts.book import Book
from codex_oss.accounts.changes import removed, switched, used
from codex_oss.errors import StoreError, Unavailable
from codex_oss.services.account_store import AccountStore, exclusive
from codex_oss.tui.account_manager import KEYS
from tests.tui.managing import manager, running
from tests.tui.screen import NARROW, WIDE, text_of, until, until_shown
from tests.tui.world import ALL, ANN, BEA, CAY, DEE, EVE, FAY, NOW_MS, World, account, book, quota


async def test_use_makes_an_account_the_active_one(tmp_path: Path) -> None:
    """u and Enter write the active account, and the mark moves there."""
    world = World(tmp_path, book(ANN, FAY, active=ANN))
    async with running(world) as pilot:
        await pilot.press("down", "u")
        await until_shown(pilot, "fay@example.org (free) answers from now on.")
        assert world.read().active.person == FAY.person_key
        assert "●   fay@example.org" in text_of(manager(pilot))
        await pilot.press("up", "enter")
        await until(pilot, lambda: world.read().active.person == ANN.person_key)


async def test_use_takes_a_pin_away(tmp_path: Path) -> None:
    """Who switches means it: no pin stands against the account that was chosen."""
    world = World(tmp_path, book(ANN, FAY, active=ANN, pin=ANN))
    async with running(world) as pilot:
        await pilot.press("down", "u")
        await until_shown(pilot, "fay@example.org (free) answers from now on.")
        assert (world.read().active.person, world.read().pinned.person) == (FAY.person_key, "")


@pytest.mark.parametrize("key", ["u", "p"])
async def test_a_disabled_account_is_not_meant(tmp_path: Path, key: str) -> None:
    """Using or pinning it changes nothing and says what to do."""
    world = World(tmp_path, book(CAY, ANN, active=ANN))
    async with running(world) as pilot:
        await pilot.press(key)
        await until_shown(pilot, "is disabled; enable it first (e).")
        assert world.read() == book(CAY, ANN, active=ANN)


async def test_pin_and_unpin(tmp_path: Path) -> None:
    """p pins, p again takes the pin away, and both stand in the file."""
    world = World(tmp_path, book(*ALL, active=ANN))
    async with running(world) as pilot:
        await pilot.press("down", "p")
        await until_shown(pilot, "is pinned; it answers as soon as it can be used.")
        assert world.read().pinned.person == BEA.person_key
        await pilot.press("p")
        await until_shown(pilot, "No account is pinned any more.")
        assert world.read().pinned.person == ""


async def test_toggling_twice_at_once_changes_nothing(tmp_path: Path) -> None:
    """Keys are worked on in their order, each on what the one before it left."""
    world = World(tmp_path, book(ANN, CAY))
    async with running(world) as pilot:
        await pilot.press("e", "e", "down", "e")
        await until_shown(pilot, "cay@example.org (plus) is enabled.")
        known = {account.email: account.switch.enabled for account in world.read().accounts}
        assert known == {"ann@example.org": True, "cay@example.org": True}


async def test_disabling_says_who_did_it(tmp_path: Path) -> None:
    """The file and the details say that it was the person."""
    world = World(tmp_path, book(ANN))
    async with running(world) as pilot:
        await pilot.press("e")
        await until_shown(pilot, "state disabled (by you)")
        found = world.read().get(ANN.person_key)
        assert found is not None
        assert (found.switch.enabled, found.switch.why) == (False, "by_person")


async def test_resume_ends_a_pause(tmp_path: Path) -> None:
    """w takes the cooldown away."""
    world = World(tmp_path, book(BEA))
    async with running(world) as pilot:
        assert "waits until 15:00" in text_of(manager(pilot))
        await pilot.press("w")
        await until_shown(pilot, "does not wait any longer.")
        assert world.read().accounts[0].hindrance(NOW_MS) is None


@pytest.mark.parametrize("keys", [("enter",), ("n",), ("escape",), ("right", "left", "enter"), ("tab", "escape")])
async def test_delete_means_no_unless_told(tmp_path: Path, keys: tuple[str, ...]) -> None:
    """Whatever is not a yes leaves the file as it was, byte for byte."""
    world = World(tmp_path, book(ANN, FAY))
    before = world.store.path.read_bytes()
    async with running(world) as pilot:
        await pilot.press("d", *keys)
        await until_shown(pilot, "Nothing was deleted.")
        assert world.store.path.read_bytes() == before


@pytest.mark.parametrize("keys", [("y",), ("right", "enter"), ("tab", "enter")])
async def test_delete_forgets_the_account_and_its_tokens(tmp_path: Path, keys: tuple[str, ...]) -> None:
    """A yes removes the record, and the next usable account becomes the active one."""
    world = World(tmp_path, book(ANN, CAY, FAY, active=ANN))
    async with running(world) as pilot:
        await pilot.press("d", *keys)
        await until_shown(pilot, "its tokens are gone from this machine.")
        assert [account.email for account in world.read().accounts] == ["cay@example.org", "fay@example.org"]
        assert world.read().active.person == FAY.person_key
        assert b"rt-CANARY-ann" not in world.store.path.read_bytes()


async def test_delete_asks_for_the_account_that_was_under_the_cursor(tmp_path: Path) -> None:
    """What the file does while the question stands does not change whom it is about."""
    world = World(tmp_path, book(ANN, FAY))
    async with running(world) as pilot:
        await pilot.press("d")
        world.store.change(lambda known: removed(known, ANN.person_key, NOW_MS))
        await manager(pilot).look()
        await pilot.press("y")
        await until_shown(pilot, "That account is not there any more.")
        assert [account.email for account in world.read().accounts] == ["fay@example.org"]


async def test_delete_all(tmp_path: Path) -> None:
    """D asks, and then forgets every account; the book stays empty."""
    world = World(tmp_path, book(*ALL, active=ANN))
    async with running(world) as pilot:
        await pilot.press("D", "enter")
        assert len(world.read().accounts) == len(ALL)
        await pilot.press("D", "y")
        await until_shown(pilot, "There is no account yet. Press a to sign in.")
        assert world.read().accounts == ()


async def test_renew_spends_the_token_of_the_generation_that_is_shown(tmp_path: Path) -> None:
    """r asks for new tokens although the old ones have not ended."""
    world = World(tmp_path, book(ANN))
    async with running(world) as pilot:
        await pilot.press("r")
        await until_shown(pilot, "ann@example.org (plus) has fresh tokens.")
        assert world.refresh.asked == [(ANN.person_key, 1)]


async def test_a_renewal_that_fails_is_a_sentence(tmp_path: Path) -> None:
    """A dead token, an issuer that is away and a disabled account each say what they are."""
    world = World(tmp_path, book(DEE, CAY))
    async with running(world) as pilot:
        world.refresh.answer = "none"
        await pilot.press("r")
        await until_shown(pilot, "dee@example.org (pro) has no token that can be renewed: sign in again (a).")
        world.refresh.answer = Unavailable("The sign-in service did not answer.", hint="Try again later.")
        await pilot.press("r")
        await until_shown(pilot, "The sign-in service did not answer. Try again later.")
        world.refresh.asked.clear()
        await pilot.press("down", "r")
        await until_shown(pilot, "cay@example.org (plus) is disabled; enable it first (e).")
        assert world.refresh.asked == []


async def test_quotas_are_asked_where_they_can_be(tmp_path: Path) -> None:
    """l asks for each account once that is enabled and signed in, and the bars are drawn anew."""
    world = World(tmp_path, book(ANN, CAY, DEE, EVE, FAY), {})
    world.quotas.told = {ANN.person_key: quota(55.0, 20.0), FAY.person_key: quota(5.0, 90.0)}
    async with running(world) as pilot:
        await pilot.press("l")
        await until_shown(pilot, "The quota of 2 accounts was read.")
        assert sorted(world.quotas.asked) == sorted([ANN.person_key, FAY.person_key])
        await until_shown(pilot, "55% left, full again at 16:05")


async def test_a_quota_that_nobody_tells_stays_as_it_was(tmp_path: Path) -> None:
    """One backend that fails does not hide the others' answers."""
    world = World(tmp_path, book(ANN, FAY), {})
    world.quotas.told = {ANN.person_key: quota(55.0, 20.0), FAY.person_key: Unavailable("The backend is away.")}
    async with running(world) as pilot:
        await pilot.press("l")
        await until_shown(pilot, "The quota of 1 of 2 accounts was read: The backend is away.")


async def test_an_unknown_quota_is_drawn_as_unknown(tmp_path: Path) -> None:
    """Neither an empty bar nor 0 %, in the table and below; so is a window that ended since."""
    world = World(tmp_path, book(DEE, FAY))
    async with running(world) as pilot:
        shown = text_of(manager(pilot))
        assert "quota   unknown: this account needs a login" in shown
        assert "0%" not in shown
        assert "░" not in shown
        await pilot.press("down")
        await until_shown(pilot, "weekly unknown used")


DISABLE = """
import sys
from pathlib import Path
from codex_oss.accounts.changes import switched
from codex_oss.services.account_store import AccountStore
AccountStore(Path(sys.argv[1])).change(lambda known: switched(known, sys.argv[2], int(sys.argv[3]), enabled=False))
"""
"""What another process does to the file."""


async def test_the_table_follows_the_file(tmp_path: Path) -> None:
    """A change by another process is shown soon, and the cursor stays on its account."""
    world = World(tmp_path, book(*ALL, active=ANN))
    async with running(world) as pilot:
        await pilot.press(*["down"] * 5)
        arguments = ("-c", DISABLE, str(tmp_path), FAY.person_key, str(NOW_MS + 1))
        other = await asyncio.create_subprocess_exec(sys.executable, *arguments, stderr=asyncio.subprocess.DEVNULL)
        assert await other.wait() == 0
        await until_shown(pilot, "state disabled (by you)")
        world.store.change(lambda known: removed(known, ANN.person_key, NOW_MS))
        await until(pilot, lambda: "ann@" not in text_of(manager(pilot)))
        assert manager(pilot).person() == FAY.person_key


async def test_a_change_keeps_what_another_process_wrote(tmp_path: Path) -> None:
    """A key changes what it is about, whatever else changed since the screen was drawn."""
    world = World(tmp_path, book(ANN, FAY, active=ANN))
    async with running(world) as pilot:
        world.store.change(lambda known: switched(known, FAY.person_key, NOW_MS + 1, enabled=False))
        world.store.change(lambda known: used(known, FAY.person_key, NOW_MS + 1))
        await pilot.press("p")
        await until_shown(pilot, "ann@example.org (plus) is pinned.")
        left = world.read()
        assert (left.pinned.person, left.active.person) == (ANN.person_key, FAY.person_key)
        assert left.accounts[1].switch.enabled is False


async def test_the_screen_goes_on_while_the_file_is_locked(tmp_path: Path) -> None:
    """Keys and cursor work while a change waits for its turn; leaving waits, and leaving twice does not."""
    world = World(tmp_path, book(ANN, FAY))
    with exclusive(tmp_path / "codex-accounts.json.lock", 5):
        async with running(world) as pilot:
            await pilot.press("e", "down")
            await until(pilot, lambda: manager(pilot).person() == FAY.person_key)
            await pilot.press("q")
            await until_shown(pilot, "Waiting for a change to be written")
            assert not manager(pilot)._exit
            await pilot.press("ctrl+c")
            await until(pilot, lambda: manager(pilot)._exit)


async def test_leaving_waits_for_what_was_asked(tmp_path: Path) -> None:
    """A change whose key was pressed before q is in the file afterwards."""
    world = World(tmp_path, book(ANN))
    with exclusive(tmp_path / "codex-accounts.json.lock", 5):
        app = world.manager()
        context = app.run_test(size=WIDE)
        pilot = await context.__aenter__()
        await until(pilot, lambda: app._shown is not None)
        await pilot.press("e", "q")
        await until_shown(pilot, "Waiting for a change to be written")
    await until(pilot, lambda: app._exit)
    await context.__aexit__(None, None, None)
    assert world.read().accounts[0].switch.enabled is False


async def test_a_damaged_file_is_a_sentence(tmp_path: Path) -> None:
    """It is put aside, the screen says where it lies, and goes on."""
    world = World(tmp_path, book(ANN))
    async with running(world) as pilot:
        world.store.path.write_bytes(b"{")
        await until_shown(pilot, "was damaged and holds no accounts")
        await until_shown(pilot, "There is no account yet.")


async def test_a_fault_of_ours_is_a_sentence(tmp_path: Path) -> None:
    """What no service expected is named by its kind, without its words."""
    world = World(tmp_path, book(ANN))
    world.refresh.answer = KeyError("rt-CANARY-ann")
    async with running(world) as pilot:
        await pilot.press("r")
        await until_shown(pilot, "That failed inside codex-oss (KeyError)")
        assert "CANARY" not in text_of(manager(pilot))


@pytest.mark.parametrize("size", [NARROW, (40, 12), (200, 50)])
async def test_every_size_shows_the_accounts(tmp_path: Path, size: tuple[int, int]) -> None:
    """Small terminals lose bars and ends of names, never a row or a state."""
    async with running(World(tmp_path, book(*ALL)), size) as pilot:
        shown = text_of(manager(pilot))
        assert "ChatGPT accounts" in shown
        await pilot.press("end")
        await until_shown(pilot, "fay@")
        assert all(len(line) <= size[0] for line in text_of(manager(pilot)).splitlines())


@pytest.mark.parametrize("size", [(20, 5), (10, 3), (1, 1)])
async def test_no_terminal_is_too_small(tmp_path: Path, size: tuple[int, int]) -> None:
    """Nothing can be read there, and nothing breaks; a delete still means no."""
    world = World(tmp_path, book(*ALL))
    async with running(world, size) as pilot:
        await pilot.press("d", "enter", "question_mark", "escape", "a", "escape")
        await pilot.pause()
        assert len(world.read().accounts) == len(ALL)


async def test_resizing_shares_the_columns_anew(tmp_path: Path) -> None:
    """Bars come and go with the room."""
    async with running(World(tmp_path, book(ANN)), NARROW) as pilot:
        assert "5h left" not in text_of(manager(pilot))
        await pilot.resize_terminal(*WIDE)
        await until_shown(pilot, "5h left")


async def test_long_and_hostile_names(tmp_path: Path) -> None:
    """An e-mail as long as the screen is cut; control characters and markup are shown, not obeyed."""
    long = account("x" * 300 + "@example.org")
    rude = account("[bold red]a\x1b[31mb\u202e@example.org")
    async with running(World(tmp_path, book(long, rude)), NARROW) as pilot:
        shown = text_of(manager(pilot))
        assert "xxx…" in shown
        assert "[bold red]" in shown
        assert not {"\x1b", "\u202e"} & set(shown)


async def test_fifty_accounts_scroll(tmp_path: Path) -> None:
    """The cursor reaches the last one, and the details are of it."""
    many = [account(f"a{number:02}@example.org") for number in range(50)]
    async with running(World(tmp_path, book(*many))) as pilot:
        await pilot.press("end")
        await until_shown(pilot, "a49@example.org (plus)")
        table = manager(pilot).query_one(DataTable)
        top = table.scroll_y
        assert top > 0
        AccountStore(tmp_path).change(lambda known: switched(known, many[45].person_key, NOW_MS, enabled=False))
        await until_shown(pilot, "disabled")
        assert (table.cursor_row, table.scroll_y) == (49, top)


@pytest.mark.parametrize("key", [*"upewrldD", "enter"])
async def test_no_account_no_harm(tmp_path: Path, key: str) -> None:
    """Without an account every key says so, or nothing."""
    world = World(tmp_path, book())
    async with running(world) as pilot:
        await pilot.press(key)
        await pilot.pause()
        assert world.read() == Book()
        assert "There is no account yet. Press a to sign in." in text_of(manager(pilot))


async def test_help_names_every_key(tmp_path: Path) -> None:
    """Each key of the program stands in its help, and the help goes away again."""
    async with running(World(tmp_path, book(ANN))) as pilot:
        bound = {binding.key for _, binding in pilot.app._bindings if binding.description} - {"ctrl+c", "ctrl+q"}
        told = {key.strip() for keys, _ in KEYS for key in keys.split(",")}
        assert {"?" if key == "question_mark" else key for key in bound} <= told
        await pilot.press("question_mark")
        await until_shown(pilot, "Enable or disable")
        await pilot.press("escape")
        await until(pilot, lambda: "Enable or disable" not in text_of(manager(pilot)))


async def test_a_book_that_cannot_be_read_leaves_the_screen_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence is said once, and the accounts come back when the file does."""
    world = World(tmp_path, book(ANN))
    broken = StoreError("The file cannot be read.", code="accounts_unreadable")
    read, failing = world.store.read, [True]

    def reading() -> Book:
        if failing[0]:
            raise broken
        return read()

    monkeypatch.setattr(world.store, "read", reading)
    async with world.manager().run_test(size=WIDE) as pilot:
        await until_shown(pilot, "The file cannot be read.")
        failing[0] = False
        await until_shown(pilot, "ann@example.org (plus)")
