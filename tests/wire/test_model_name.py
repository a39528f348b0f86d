"""The model that a body names, read without decoding the body."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_oss.errors import InvalidRequest
from codex_oss.wire.model_name import peek_model
from codex_oss.wire.responses_request import decode_body


@pytest.mark.parametrize(
    ("body", "model"),
    [
        (b'{"model": "gpt-5.5", "input": "x"}', "gpt-5.5"),
        (b'{"input": {"model": "no"}, "model": "a", "model": "b"}', "b"),
        (b'{"input": "cut \\ud83d", "model": "gpt-1"}', "gpt-1"),
        (b'{"model": 7}', ""),
        (b'{"model": null}', ""),
        (b'["model"]', ""),
        (b"{", ""),
        (b"", ""),
        (b"\x28\xb5\x2f\xfd", ""),
        (b"[" * 100_000, ""),
    ],
)
def test_names(body: bytes, model: str) -> None:
    """The name, or nothing for what names none."""
    assert peek_model(body) == model


@given(
    st.binary(max_size=60)
    | st.dictionaries(st.sampled_from(["model", "x"]), st.text() | st.none()).map(
        lambda value: json.dumps(value).encode()
    )
)
def test_it_is_the_name_that_the_decoder_finds(body: bytes) -> None:
    """Nobody can show one name to the peek and another to the decoder behind it."""
    try:
        found = decode_body(body).get("model")
    except InvalidRequest:
        found = None
    assert peek_model(body) == (found if isinstance(found, str) else "")
