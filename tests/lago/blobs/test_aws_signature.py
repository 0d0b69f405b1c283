"""Signature Version 4, against Amazon's published examples for S3 (docs.aws.amazon.com, "Examples: Signature calculations in AWS
Signature Version 4", GET bucket lifecycle and list objects)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from life.lago.blobs.aws_signature import EMPTY_SHA256, AwsCredentials, encode_path, encode_query, signed_headers

EXAMPLE = AwsCredentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
EXAMPLE_S = int(datetime(2013, 5, 24, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("query", "signature"),
    [
        ({"lifecycle": ""}, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ({"max-keys": "2", "prefix": "J"}, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)
def test_amazons_examples(query: dict[str, str], signature: str) -> None:
    """Both published signatures, to the digit."""
    headers = signed_headers(
        EXAMPLE,
        method="GET",
        host="examplebucket.s3.amazonaws.com",
        path="/",
        query=query,
        region="us-east-1",
        payload_sha256=EMPTY_SHA256,
        now_s=EXAMPLE_S,
    )
    assert headers["authorization"].endswith(f"Signature={signature}")


def test_names_are_encoded_as_they_are_signed() -> None:
    """Blanks, plus signs, tildes and letters beyond ASCII."""
    assert encode_path("/a b/c+d~é") == "/a%20b/c%2Bd~%C3%A9"
    assert encode_query({"b": "x/y", "a": " "}) == "a=%20&b=x%2Fy"


def test_a_secret_shows_in_no_repr() -> None:
    """Only the id does."""
    assert EXAMPLE.secret_access_key not in repr(EXAMPLE)
