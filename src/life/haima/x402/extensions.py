"""Extensions of a payment: the client echoes what the server advertised and may only add (x402.md §1, §5)."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from life.haima.x402.wire import PAYMENT_IDENTIFIER, present

_raw_parts: Final = msgspec.json.Decoder(dict[str, Raw])
_encoder: Final = msgspec.json.Encoder()


def echo(extensions: Raw | UnsetType, payment_id: str) -> Raw | UnsetType:
    """What goes back to the server: everything it advertised, byte for byte, and our payment id as the payment's
    identifier when the server wants identifiers (`info.id`, 16 to 128 of `[A-Za-z0-9_-]`)."""
    content = present(extensions)
    if content is None:
        return UNSET
    if b'"payment-identifier"' not in content:
        return extensions
    try:
        parts = _raw_parts.decode(content)
        identifier = _raw_parts.decode(parts[PAYMENT_IDENTIFIER])
        info = _raw_parts.decode(identifier["info"])
    except (msgspec.DecodeError, KeyError):
        return extensions
    info["id"] = Raw(_encoder.encode(payment_id))
    identifier["info"] = Raw(_encoder.encode(info))
    parts[PAYMENT_IDENTIFIER] = Raw(_encoder.encode(identifier))
    return Raw(_encoder.encode(parts))
