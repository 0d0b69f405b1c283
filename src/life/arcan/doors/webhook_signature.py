"""Signatures of webhooks, by the Standard Webhooks convention.

    webhook-id         the event's id: the same for every attempt, so that receivers drop repetitions
    webhook-timestamp  seconds since the epoch, of this attempt
    webhook-signature  `v1,<base64>` of HMAC-SHA256 over `id.timestamp.body`; during a rotation two, separated by a blank

Secrets are shown as `whsec_<base64>`. Source: Standard Webhooks specification, "Signature scheme".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 (a prefix)
TOLERANCE_S: Final = 300
"""How old an attempt may be, and how far ahead its clock, for a receiver of ours."""


def shown_secret(secret: bytes) -> str:
    """The secret as receivers are given it."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def signed_headers(secrets: Sequence[bytes], message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The three headers of one attempt, signed by every secret that is in force."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(_signature(secret, message_id, timestamp_s, body) for secret in secrets),
    }


def is_signed(secret: bytes, headers: dict[str, str], body: bytes, *, now_s: int) -> bool:
    """Whether an attempt was signed by this secret, a short while ago: what a receiver checks."""
    stamp = headers.get("webhook-timestamp", "")
    if not stamp.isascii() or not stamp.isdigit() or len(stamp) > 15 or abs(now_s - int(stamp)) > TOLERANCE_S:
        return False
    wanted = _signature(secret, headers.get("webhook-id", ""), int(stamp), body)
    given = headers.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(wanted.encode(), one.encode()) for one in given)


def _signature(secret: bytes, message_id: str, timestamp_s: int, body: bytes) -> str:
    digest = hmac.new(secret, f"{message_id}.{timestamp_s}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
