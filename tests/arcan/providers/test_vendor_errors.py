"""From HTTP answers to errors: statuses, Retry-After in all its forms, and no key in any word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import ProviderError
from life.arcan.providers.vendor_errors import clean, error_of_status, error_of_type, retry_after_us
from life.testing.clock import START_US


def error(status: int, headers: dict[str, str] | None = None, message: str = "words") -> ProviderError:
    """The error for a status."""
    return error_of_status("Vendor", status, message, headers=headers or {}, api_key="sk-1", now_us=START_US)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "arcan.provider_rejected"),
        (401, "arcan.provider_unauthorized"),
        (402, "arcan.provider_rejected"),
        (403, "arcan.provider_unauthorized"),
        (404, "arcan.provider_rejected"),
        (408, "arcan.provider_unavailable"),
        (413, "arcan.provider_rejected"),
        (422, "arcan.provider_rejected"),
        (429, "arcan.provider_rate_limited"),
        (500, "arcan.provider_unavailable"),
        (503, "arcan.provider_unavailable"),
        (529, "arcan.provider_unavailable"),
    ],
)
def test_statuses(status: int, code: str) -> None:
    """Each status has one meaning for all vendors."""
    assert error(status).code == code
    assert error(status).details["http_status"] == status


@pytest.mark.parametrize(
    ("headers", "expected_us"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7_000_000),
        ({"retry-after": "0.5"}, 500_000),
        ({"retry-after-ms": "1500", "retry-after": "7"}, 1_500_000),
        ({"retry-after": "Thu, 20 Nov 2025 07:03:30 GMT"}, 30_000_000),
        ({"retry-after": "Thu, 20 Nov 2025 07:00:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], expected_us: int | None) -> None:
    """Seconds, milliseconds or a date (RFC 9110 §10.2.3); nonsense is none."""
    assert retry_after_us(headers, now_us=START_US) == expected_us


@given(st.text(max_size=40))
def test_retry_after_never_fails(text: str) -> None:
    """Whatever a server sends there."""
    waited = retry_after_us({"retry-after": text}, now_us=START_US)
    assert waited is None or waited >= 0


@pytest.mark.parametrize(
    ("error_type", "code"),
    [
        ("overloaded_error", "arcan.provider_unavailable"),
        ("rate_limit_error", "arcan.provider_rate_limited"),
        ("authentication_error", "arcan.provider_unauthorized"),
        ("invalid_request_error", "arcan.provider_rejected"),
        ("something_new", "arcan.provider_unavailable"),
    ],
)
def test_types_within_a_stream(error_type: str, code: str) -> None:
    """A failure announced in the stream is told apart by the vendor's name for it."""
    assert error_of_type("Vendor", error_type, "words", api_key="").code == code


def test_words_are_cut_short_and_without_the_key() -> None:
    """The key is cut out wherever it stands; line breaks and long stories are shortened."""
    assert clean("a  sk-1\n b", "sk-1") == "a … b"
    assert len(clean("x" * 5000, "")) == 301
    assert "sk-1" not in error(400, message="your key sk-1 is fine").message


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("server_error", "arcan.provider_unavailable"),
        ("overloaded_error", "arcan.provider_unavailable"),
        ("something_new", "arcan.provider_unavailable"),
        ("rate_limit_exceeded", "arcan.provider_rate_limited"),
        ("invalid_api_key", "arcan.provider_unauthorized"),
        ("authentication_error", "arcan.provider_unauthorized"),
        ("invalid_prompt", "arcan.provider_rejected"),
        ("image_content_policy_violation", "arcan.provider_rejected"),
        ("unsupported_image_media_type", "arcan.provider_rejected"),
        ("request_too_large", "arcan.provider_rejected"),
    ],
)
def test_failures_that_are_announced_within_a_stream(kind: str, code: str) -> None:
    """By the vendor's name for them; what nobody has heard of may be tried again."""
    assert error_of_type("Vendor", kind, "words", api_key="k").code == code
