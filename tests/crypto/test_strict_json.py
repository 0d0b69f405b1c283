"""JSON objects with one meaning."""

import pytest

from life.crypto.errors import InvalidEncodingError
from life.crypto.strict_json import decode_json_object


def test_reads_an_object() -> None:
    """An ordinary object is read with its types."""
    assert decode_json_object('{"a":[1,2.5,null,true,"é"],"b":{"c":{}}}'.encode()) == {
        "a": [1, 2.5, None, True, "é"],
        "b": {"c": {}},
    }


def test_depth_is_bounded() -> None:
    """64 levels are read; a level more is refused; brackets inside texts are no levels."""
    decode_json_object(b'{"a":' + b"[" * 63 + b"]" * 63 + b"}")
    with pytest.raises(InvalidEncodingError, match="deeply"):
        decode_json_object(b'{"a":' + b"[" * 64 + b"]" * 64 + b"}")
    assert decode_json_object(b'{"a":"' + b'[{\\"' * 100 + b'"}') == {"a": '[{"' * 100}
    assert len(decode_json_object(b'{"a":[' + b"{}," * 500 + b"[]]}")["a"]) == 501  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b'"x"',
        b"1",
        b"null",
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":2}',
        b'{"x":{"a":1,"a":2}}',
        b'{"x":[{"a":1,"a":2}]}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1} x',
        b'{"a":1',
        b"{'a':1}",
        b'{"a":01}',
        b"\xff{}",
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":' * 5000,
        b'{"a":' + b"[" * 100000,
        b'{"a":"' + b"[" * 100000,
        b'{"a":' + b"[{" * 100000,
    ],
)
def test_ambiguous_and_malformed_texts_are_refused(text: bytes) -> None:
    """Repeated members at any depth, non-objects, non-JSON and bombs are errors of one kind."""
    with pytest.raises(InvalidEncodingError):
        decode_json_object(text)
