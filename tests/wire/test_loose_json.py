"""JSON from strangers: what is repaired, what is refused, and that the result can be encoded again."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.wire.loose_json import MAX_DEPTH, clean_text, decode_loose
from tests.wire.scripts import json_values


@given(json_values)
def test_what_is_returned_can_be_encoded(value: object) -> None:
    """Arbitrary JSON decodes to something that encodes again, or is refused with a ValueError."""
    try:
        decoded = decode_loose(json.dumps(value).encode())
    except ValueError:
        return
    msgspec.json.encode(decoded)


@given(st.binary() | st.text(alphabet='[]{}",:\\ud8cabc01').map(str.encode))
def test_arbitrary_bytes_raise_only_value_errors(data: bytes) -> None:
    """Nothing but ValueError comes out of broken input, in both modes."""
    for mode in ("strict", "replace"):
        try:
            msgspec.json.encode(decode_loose(data, bad_utf8=mode))
        except ValueError:
            continue


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'"\\ud83d"', "\N{REPLACEMENT CHARACTER}"),
        (b'"\\ud83d\\ude00"', "😀"),
        (b'{"\\udc00":["\\ud83dx"]}', {"\N{REPLACEMENT CHARACTER}": ["\N{REPLACEMENT CHARACTER}x"]}),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
    ],
)
def test_what_peers_get_wrong_is_repaired(data: bytes, value: object) -> None:
    """Half emoji and a byte order mark do not cost a turn."""
    assert decode_loose(data) == value


def test_broken_utf8_is_replaced_only_where_allowed() -> None:
    """An upstream's broken byte becomes U+FFFD, a client's is refused."""
    assert decode_loose(b'"a\xff"', bad_utf8="replace") == "a\N{REPLACEMENT CHARACTER}"
    with pytest.raises(ValueError, match=r"not UTF-8 \(byte 2\)"):
        decode_loose(b'"a\xff"')


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 5_000, 200_000])
@pytest.mark.parametrize("broken", [b"", b"\xef\xbb\xbf"])
def test_deep_nesting_is_refused(levels: int, broken: bytes) -> None:
    """Nesting beyond the bound is a ValueError on both paths, never a RecursionError."""
    with pytest.raises(ValueError, match="deeply"):
        decode_loose(broken + b"[" * levels + b"]" * levels)


def test_nesting_up_to_the_bound_is_accepted() -> None:
    """The bound itself still decodes."""
    data = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert msgspec.json.encode(decode_loose(data)) == data


def test_reasons_never_quote_the_content() -> None:
    """The words of an error hold positions, not what was sent."""
    with pytest.raises(ValueError, match="line 1") as caught:
        decode_loose(b'{"key": "synthetic-secret" oops}')
    assert "synthetic" not in str(caught.value)


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_clean_text_is_idempotent_and_encodable(text: str) -> None:
    """Cleaning makes any string encodable and changes it once only."""
    clean = clean_text(text)
    assert clean_text(clean) == clean
    assert clean.encode().decode() == clean
