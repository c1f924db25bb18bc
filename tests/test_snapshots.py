"""Snapshots: what was put in comes out, or a sentence says why it does not."""

from math import inf, nan
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import BadSnapshot
from stream.models.snapshots import decode, encode

numbers = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)
states = st.dictionaries(
    st.text(),
    st.recursive(
        st.one_of(numbers, st.text(), st.none()),
        lambda part: st.one_of(st.lists(part), st.dictionaries(st.text(), part)),
        max_leaves=20,
    ),
)


@given(states, st.integers(0, 2**53))
def test_what_was_put_in_comes_out(state: dict[str, Any], version: int) -> None:
    """Bit for bit, to the sign of a zero."""
    raw = encode("demand", version, state)
    found, read = decode(raw, "demand")
    assert (found, repr(read)) == (version, repr(state))
    assert encode("demand", version, read) == raw


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_a_flipped_bit_is_noticed(place: int, bit: int) -> None:
    """No damaged snapshot is read as another model."""
    state = {"names": ["views", "carts"], "weights": [0.125, -2.5], "examples": 1000}
    raw = bytearray(encode("conversion", 3, state))
    raw[place % len(raw)] ^= 1 << bit
    try:
        _, read = decode(bytes(raw), "conversion")
    except BadSnapshot:
        return
    assert read == state


@given(st.binary(max_size=200))
def test_noise_is_refused(raw: bytes) -> None:
    """Whatever bytes are found, the answer is a sentence and never a crash."""
    with pytest.raises(BadSnapshot, match="demand"):
        decode(raw, "demand")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": 2}, "has format 2, but this release reads format 1"),
        ({"kind": "conversion"}, "a snapshot of conversion, but one of demand was expected"),
        ({"checksum": "0" * 64}, "checksum does not fit"),
        ({"state": {"weights": [1.0]}}, "checksum does not fit"),
        ({"state": [1.0]}, "no snapshot of demand"),
        ({"version": "1"}, "no snapshot of demand"),
        ({"version": True}, "no snapshot of demand"),
        ({"version": -1}, "no snapshot of demand"),
        ({"checksum": None}, "no snapshot of demand"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], sentence: str) -> None:
    """The error says what is wrong."""
    snapshot = orjson.loads(encode("demand", 1, {"weights": [0.5]}))
    with pytest.raises(BadSnapshot, match=sentence):
        decode(orjson.dumps(snapshot | change), "demand")


@pytest.mark.parametrize("raw", [b"", b"null", b"[]", b"{}", b"1e999", b"NaN", b"\x80\x04K\x01."])
def test_what_is_no_snapshot_is_refused(raw: bytes) -> None:
    """Also a pickle is not read."""
    with pytest.raises(BadSnapshot, match="demand"):
        decode(raw, "demand")


def test_a_number_that_json_has_not_is_refused() -> None:
    """A damaged text cannot bring in an infinity."""
    raw = encode("demand", 1, {"weights": [0.5]}).replace(b"[0.5]", b"[1e999]")
    with pytest.raises(BadSnapshot, match="not JSON"):
        decode(raw, "demand")


@pytest.mark.parametrize("number", [nan, inf, -inf])
def test_a_spoilt_state_is_not_kept(number: float) -> None:
    """It would replace the last good one; the error names the place."""
    with pytest.raises(BadSnapshot, match=r"demand\.glm\.weights\[1\] is"):
        encode("demand", 1, {"glm": {"weights": [0.5, number]}})
    with pytest.raises(BadSnapshot, match=r"demand\.intercept is"):
        encode("demand", 1, {"intercept": number})
