"""The filter's bytes, run by a small machine of our own: every row refuses what it names and nothing else."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.services.sandbox_seccomp import (
    ALWAYS,
    ARCHITECTURES,
    SHARED_WITH_HOST,
    SIGNALS,
    TRUNCATION,
    Row,
    filter_program,
)

ALL = (*ALWAYS, *SHARED_WITH_HOST, *SIGNALS, *TRUNCATION)
ALLOWED = 0x7FFF0000
KILLED = 0x80000000


def verdict(program: bytes, architecture: int, number: int, arguments: tuple[int, ...]) -> int:
    """What the kernel would answer: the four kinds of steps that the filter is made of, by seccomp(2)."""
    data = struct.pack("<iIQ6Q", number, architecture, 0, *arguments)
    steps = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    at, held = 0, 0
    while True:
        code, if_true, if_false, value = steps[at]
        at += 1
        match code:
            case 0x20:
                held = struct.unpack_from("<I", data, value)[0]
            case 0x06:
                return int(value)
            case _:
                holds = {0x15: held == value, 0x35: held >= value, 0x45: bool(held & value)}[code]
                at += if_true if holds else if_false


def refuses(row: Row, arguments: tuple[int, ...]) -> bool:
    """What the row says in words."""
    lower = arguments[row.argument] & 0xFFFFFFFF
    return {
        "always": True,
        "equal": lower == row.value,
        "not_equal": lower != row.value,
        "any_bit": bool(lower & row.value),
    }[row.test]


@pytest.mark.parametrize("name", list(ARCHITECTURES))
@given(data=st.data())
def test_the_filter_says_what_its_rows_say(name: str, data: st.DataObject) -> None:
    """For every number and argument the answer is the first row's that refuses it, else leave."""
    column = list(ARCHITECTURES).index(name)
    named = st.sampled_from([row.numbers[column] for row in ALL])
    number = data.draw(named | st.integers(0, 500))
    telling = st.sampled_from([0, 1, 2, 0x5412, 0x541C, 0x10000000, 17])
    arguments = data.draw(st.tuples(*[telling | st.integers(0, 2**64 - 1)] * 6))
    rows = [row for row in ALL if row.numbers[column] == number and refuses(row, arguments)]
    expected = 0x50000 | rows[0].code if rows else ALLOWED
    assert verdict(filter_program(ALL, name), ARCHITECTURES[name], number, arguments) == expected


@given(st.sampled_from(list(ARCHITECTURES)), st.integers(0, 2**32 - 1), st.integers(0, 500))
def test_another_architecture_is_deadly(name: str, architecture: int, number: int) -> None:
    """A call in the numbers of another machine never gets through."""
    told = verdict(filter_program(ALL, name), architecture, number, (0,) * 6)
    assert (told == KILLED) == (architecture != ARCHITECTURES[name])


@given(st.integers(0x40000000, 2**31 - 1))
def test_x32_numbers_are_deadly(number: int) -> None:
    """They are other calls than their lower half says."""
    assert verdict(filter_program((), "x86_64"), ARCHITECTURES["x86_64"], number, (0,) * 6) == KILLED


def test_the_kernel_takes_so_long_a_filter() -> None:
    """A program may have 4096 steps, and a jump cannot pass 255."""
    for name in ARCHITECTURES:
        assert len(filter_program(ALL, name)) // 8 <= 4096


def test_each_name_has_one_number() -> None:
    """Rows of one call agree, and no two calls share a number on a machine."""
    for column in range(2):
        numbers: dict[int, str] = {}
        for row in ALL:
            assert numbers.setdefault(row.numbers[column], row.name) == row.name
