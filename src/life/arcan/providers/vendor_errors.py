"""From a vendor's HTTP answer to the runtime's errors: the same rules for every vendor.

The vendor's words are kept, cut short and without the key: some vendors repeat part of a wrong key in their message, so
for refused keys their words are dropped altogether.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from life.aios.errors import ProviderError
from life.arcan.errors import (
    ProviderInterruptedError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderUnauthorizedError,
    ProviderUnavailableError,
    ProviderUnreachableError,
)

_WORDS: Final = 300
_LONGEST_WAIT_S: Final = 7 * 24 * 3600


def error_of_status(
    vendor: str, status: int, message: str, *, headers: Mapping[str, str], api_key: str, now_us: int
) -> ProviderError:
    """The error for an answer with this status; `headers` by lower-case name."""
    details: dict[str, str | int | bool] = {"vendor": vendor, "http_status": status}
    if status in (401, 403):
        return ProviderUnauthorizedError(f"{vendor} refuses the API key ({status}).", details=details)
    words = f"{vendor} answers {status}: {clean(message, api_key)}"
    wait_us = retry_after_us(headers, now_us=now_us)
    if status == 429:
        return ProviderRateLimitedError(words, retry_after_us=wait_us, details=details)
    if status in (408, 409) or status >= 500:
        return ProviderUnavailableError(words, retry_after_us=wait_us, details=details)
    return ProviderRejectedError(words, details=details)


def error_of_type(vendor: str, error_type: str, message: str, *, api_key: str) -> ProviderError:
    """The error for a failure that was announced inside a stream, by the vendor's name for it."""
    details: dict[str, str | int | bool] = {"vendor": vendor, "error_type": clean(error_type, api_key)}
    words = f"{vendor} broke off: {clean(message, api_key)}"
    if "rate_limit" in error_type:
        return ProviderRateLimitedError(words, details=details)
    if any(part in error_type for part in ("authentication", "permission", "api_key")):
        return ProviderUnauthorizedError(f"{vendor} refuses the API key.", details=details)
    if any(part in error_type for part in ("invalid_", "not_found", "too_large", "too_small", "policy", "unsupported")):
        return ProviderRejectedError(words, details=details)
    return ProviderUnavailableError(words, details=details)


def connection_error(vendor: str, error: Exception, *, begun: bool) -> ProviderError:
    """The error for a connection that failed before the answer, or within it. Only the failure's type is told: a client's
    words may hold the address, and an address may hold a key."""
    if begun:
        return ProviderInterruptedError(f"The connection to {vendor} broke off: {type(error).__name__}.")
    return ProviderUnreachableError(f"No answer from {vendor}: {type(error).__name__}.")


def unreadable(vendor: str, error: Exception) -> ProviderError:
    """The error for an answer that its own vendor's client can't read."""
    return ProviderInterruptedError(f"{vendor} sent something unreadable: {type(error).__name__}.")


def clean(message: str, api_key: str) -> str:
    """A vendor's words without the key, on one line, cut short."""
    if api_key:
        message = message.replace(api_key, "…")
    message = " ".join(message.split())
    return message if len(message) <= _WORDS else message[:_WORDS] + "…"


def retry_after_us(headers: Mapping[str, str], *, now_us: int) -> int | None:
    """What the vendor asks for: `retry-after-ms`, or `retry-after` in seconds or as a date (RFC 9110 §10.2.3)."""
    exact = _number(headers.get("retry-after-ms"))
    if exact is not None:
        return int(exact * 1000)
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is not None:
        return int(seconds * 1_000_000)
    if text is None:
        return None
    try:
        return max(0, int(parsedate_to_datetime(text).timestamp() * 1_000_000) - now_us)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    """A time to wait, not negative and not absurd."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return min(value, float(_LONGEST_WAIT_S * 1000)) if value >= 0 else None
