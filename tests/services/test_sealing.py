"""Sealing: what was sealed comes back, anything else is refused, and the key is made once."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.errors import InvalidRequest, StoreError
from codex_oss.services.sealing import PREFIX, Sealed, Sealer

texts = st.text(alphabet=st.characters(codec="utf-8"), max_size=300)
contents = st.builds(Sealed, texts, texts, st.integers(0, 2**40))


@pytest.fixture(scope="module")
def sealer(tmp_path_factory: pytest.TempPathFactory) -> Sealer:
    """One with a key of its own."""
    return Sealer(tmp_path_factory.mktemp("seal") / "state" / "codex-oss")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Sealer:
    """Another user's, who has a key too."""
    other = Sealer(tmp_path_factory.mktemp("other"))
    other.seal(Sealed("x", "m", 0))
    return other


def refused(sealer: Sealer, sealed: str) -> str:
    """Why it cannot be opened."""
    with pytest.raises(InvalidRequest) as caught:
        sealer.open(sealed)
    assert (caught.value.code, caught.value.param) == ("compaction_unreadable", "input")
    return caught.value.message


@given(contents)
def test_round_trip(sealer: Sealer, content: Sealed) -> None:
    """What is opened is what was sealed, and nothing of it shows."""
    sealed = sealer.seal(content)
    assert sealer.open(sealed) == content
    assert sealed.startswith(PREFIX)
    assert len(content.text) < 12 or content.text not in sealed
    assert sealer.seal(content) != sealed


@given(contents, st.data())
def test_any_flipped_bit_is_refused(sealer: Sealer, content: Sealed, data: st.DataObject) -> None:
    """Prefix, nonce, text, tag and the unused bits of base64 alike."""
    sealed = sealer.seal(content).encode()
    place, bit = data.draw(st.integers(0, len(sealed) - 1)), data.draw(st.integers(0, 6))
    flipped = bytearray(sealed)
    flipped[place] ^= 1 << bit
    refused(sealer, flipped.decode())


@given(contents, st.data())
def test_cut_or_longer_is_refused(sealer: Sealer, content: Sealed, data: st.DataObject) -> None:
    """Any part of a seal, and a seal with more behind it."""
    sealed = sealer.seal(content)
    refused(sealer, sealed[: data.draw(st.integers(0, len(sealed) - 1))])
    refused(sealer, sealed + data.draw(st.sampled_from(["A", "AAAA", "=", "\n", "é", "\ud800"])))


@given(contents)
def test_another_key_is_refused(sealer: Sealer, stranger: Sealer, content: Sealed) -> None:
    """In words that name no content."""
    assert "another key" in refused(stranger, sealer.seal(content))


@given(st.text(max_size=100))
def test_foreign_texts_are_refused(sealer: Sealer, text: str) -> None:
    """Whatever another provider calls encrypted content."""
    refused(sealer, text)
    refused(sealer, PREFIX + text)


def test_opening_makes_no_key(tmp_path: Path) -> None:
    """Where nothing was ever sealed, nothing is written."""
    refused(Sealer(tmp_path / "none"), PREFIX + "A" * 64)
    assert list(tmp_path.iterdir()) == []


def test_the_key_is_private_and_lasts(tmp_path: Path) -> None:
    """Another bridge of the user opens it, also after a restart; the file is 0600 in a folder of 0700."""
    folder = tmp_path / "state" / "codex-oss"
    sealed = Sealer(folder).seal(Sealed("t", "m", 1))
    assert Sealer(folder).open(sealed).text == "t"
    assert [path.name for path in folder.iterdir()] == ["seal.key"]
    assert stat.S_IMODE((folder / "seal.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert (folder / "seal.key").stat().st_size == 65


def _shorten(path: Path) -> None:
    path.write_bytes(b"x" * 31)


def _lengthen(path: Path) -> None:
    path.write_bytes(b"x" * 33)


def _show(path: Path) -> None:
    path.chmod(0o640)


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize("spoil", [_shorten, _lengthen, _show, _link, _pipe])
def test_an_unusable_key_is_told_and_left(tmp_path: Path, spoil: object) -> None:
    """A key that is damaged, shown to others or no plain file is neither used nor replaced."""
    sealed = Sealer(tmp_path).seal(Sealed("t", "m", 1))
    assert callable(spoil)
    spoil(tmp_path / "seal.key")
    for attempt in (lambda: Sealer(tmp_path).seal(Sealed("t", "m", 1)), lambda: Sealer(tmp_path).open(sealed)):
        with pytest.raises(StoreError, match=r"seal\.key"):
            attempt()


def test_two_processes_make_one_key(tmp_path: Path) -> None:
    """However they meet, each opens what the other sealed, and nothing else is left in the folder."""
    program = (
        "import sys; from pathlib import Path; from codex_oss.services.sealing import Sealed, Sealer\n"
        "sealer = Sealer(Path(sys.argv[1])); sys.stdout.write('ready\\n'); sys.stdout.flush(); sys.stdin.readline()\n"
        "sys.stdout.write(sealer.seal(Sealed('t', 'm', 1)))"
    )
    for attempt in range(4):
        folder = tmp_path / str(attempt)
        command = [sys.executable, "-c", program, str(folder)]
        racers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        for racer in racers:
            assert racer.stdout is not None
            racer.stdout.readline()
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()
        outputs = [racer.communicate(timeout=30)[0] for racer in racers]
        assert {Sealer(folder).open(sealed).text for sealed in outputs} == {"t"}
        assert [path.name for path in folder.iterdir()] == ["seal.key"]
