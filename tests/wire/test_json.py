"""JSON that may be taken in two ways is refused."""

from __future__ import annotations

import pytest

from allowance.errors import ConfigurationError
from allowance.wire import json


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b'{"a": 1, "a": 1}', "'a' stands twice"),
        (b'[{"b": {"c": 1, "d": 2, "c": 3}}]', "'c' stands twice"),
        (b'{"amount": NaN}', "NaN"),
        (b"[Infinity]", "Infinity"),
        (b"[-Infinity]", "Infinity"),
        (b"[1e999]", "too large"),
        (b"[" + b"1" * 5000 + b"]", "number"),
        (b'"\xff"', "UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "UTF-8"),
        (b'\xef\xbb\xbf{"a": 1}', "not JSON"),
        (b"", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": 1} {}', "not JSON"),
        (b"[" * 100_000, "deep"),
        (b"[" * 17 + b"]" * 17, "deep"),
        (b'{"a":' * 17 + b"1" + b"}" * 17, "deep"),
    ],
)
def test_what_is_not_plain_json_is_refused(text: bytes, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        json.loads(text)


def test_depth_is_counted_by_levels_and_not_by_brackets() -> None:
    wide = b"[" + b",".join([b"[1]"] * 500) + b"]"
    assert json.loads(wide) == [[1]] * 500
    assert json.loads(b"[" * 16 + b"]" * 16)
    assert json.loads(b'["' + b"[{" * 50 + b'"]') == ["[{" * 50]


def test_what_json_has_no_form_for_does_not_leave() -> None:
    for value in (float("nan"), {1, 2}, object(), b"bytes"):
        with pytest.raises(ConfigurationError, match="cannot be sent"):
            json.dumps({"a": value})


def test_texts_of_any_script_travel_in_ascii() -> None:
    text = "é 漢 😀 \u2028 \x7f"
    assert json.dumps([text]).isascii()
    assert json.loads(json.dumps([text])) == [text]
