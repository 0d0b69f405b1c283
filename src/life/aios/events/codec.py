"""Event kinds to JSON bytes and back, forwards compatible (aios.md §5).

Reading never fails on content: an unknown kind, a kind without tag and a known kind with a payload that does not fit all
become `Custom`, so a replay always reaches the end. Writing is strict: a known tag with a payload that does not fit is a
MalformedEventError, because a producer of this version must not create what readers of this version can't use.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from life.aios.errors import MalformedEventError
from life.aios.events import input as input_events
from life.aios.events import memory, run, session, state, tool, world
from life.aios.events.kind import Custom, Kind
from life.aios.json import Json

_FAMILIES: Final = (input_events, session, run, tool, state, memory, world)

KINDS: Final[dict[str, type[Kind]]] = {
    name: member
    for family in _FAMILIES
    for name, member in vars(family).items()
    if isinstance(member, type) and issubclass(member, Kind) and member is not Kind
} | {"Custom": Custom}
"""Every known kind by its tag."""

_LINE_FEED: Final = 10
_CARRIAGE_RETURN: Final = 13

_S = TypeVar("_S", bound=msgspec.Struct)
_encoder: Final = msgspec.json.Encoder()
_decoders: Final[dict[str, msgspec.json.Decoder[Kind]]] = {
    name: msgspec.json.Decoder(member) for name, member in KINDS.items()
}
_known: Final[dict[str, tuple[bytes, Callable[[bytes], Kind]]]] = {
    name: (b'{"type":"%b"' % name.encode(), decoder.decode) for name, decoder in _decoders.items()
}
"""How the payload of a kind begins when this package wrote it, and how it is read."""
_anything: Final = msgspec.json.Decoder(dict[str, object])


class _Tag(msgspec.Struct):
    type: str = "Unknown"


_tag: Final = msgspec.json.Decoder(_Tag)


def kind_name(kind: Kind) -> str:
    """The tag: `UserMessage`, …; `Custom` for every Custom (aios.md §5)."""
    return type(kind).__name__


def encode_kind(kind: Kind) -> bytes:
    """The JSON object of a kind, tag included."""
    return _encoder.encode(kind)


def decode_kind(payload: bytes, name: str | None = None) -> Kind:
    """The kind in `payload` (a JSON object); `name`, when known, saves reading the tag.

    Anything but JSON is a msgspec.DecodeError: the journal stores only what `encode_kind` or `check_payload` passed.
    """
    if name is None:
        name = kind_tag(payload)
    decoder = _decoders.get(name)
    if decoder is not None:
        try:
            return decoder.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
    return _as_custom(payload, name)


def is_malformed(kind: Kind) -> bool:
    """Whether `kind` is a known kind that had to be read as Custom because its payload does not fit."""
    return isinstance(kind, Custom) and kind.event_type in _decoders


def check_payload(payload: bytes) -> Kind:
    """Strict reading, for what other programs want to append: a known kind must fit."""
    try:
        name = kind_tag(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedEventError(f"The event's kind is not a JSON object: {error}") from None
    return check_payload_of(name, payload)


def check_payload_of(name: str, payload: bytes) -> Kind:
    """Like `check_payload`, for a payload that comes with the name of its kind; the two must agree.

    A payload must be one line of UTF-8: JSON allows line breaks between its tokens, but records travel as lines and as
    frames of an event stream (`one_line` makes one).
    """
    known = _known.get(name)
    try:
        if (
            known is not None
            and payload.startswith(known[0])
            and payload.isascii()
            and _LINE_FEED not in payload
            and _CARRIAGE_RETURN not in payload
        ):
            return known[1](payload)
        return _check_slowly(name, payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedEventError(
            f"The payload does not fit the kind {name}: {error}", details={"kind": name}
        ) from None


def _check_slowly(name: str, payload: bytes) -> Kind:
    payload.decode()
    if one_line(payload) is not payload:
        raise MalformedEventError(f"The payload of {name} has line breaks between its tokens.")
    if kind_tag(payload) != name:
        raise MalformedEventError(f"The payload's type is {kind_tag(payload)}, not {name}.")
    decoder = _decoders.get(name)
    if decoder is not None:
        return decoder.decode(payload)
    fields = _anything.decode(payload)
    fields.pop("type", None)
    return Custom(event_type=name, data=fields)  # type: ignore[arg-type]


def one_line(payload: bytes) -> bytes:
    """The same JSON without raw line breaks: they can only stand between tokens, where a blank does as well."""
    if _LINE_FEED in payload or _CARRIAGE_RETURN in payload:
        return payload.replace(b"\r", b" ").replace(b"\n", b" ")
    return payload


def custom(event_type: str, payload: msgspec.Struct) -> Custom:
    """A Custom event of a subsystem: a typed struct under its dotted name."""
    data: Json = msgspec.to_builtins(payload)
    return Custom(event_type=event_type, data=data)


def read_custom(kind: Kind, event_type: str, payload: type[_S]) -> _S | None:
    """The typed struct of a subsystem's Custom event, or None when it is another event or does not fit."""
    if not isinstance(kind, Custom) or kind.event_type != event_type:
        return None
    try:
        return msgspec.convert(kind.data, payload)
    except msgspec.ValidationError:
        return None


def kind_tag(payload: bytes) -> str:
    """The `type` of a kind's JSON, or `Unknown` when it has none; msgspec.DecodeError when it is no JSON object."""
    try:
        return _tag.decode(payload).type
    except msgspec.ValidationError:
        return "Unknown"


def _as_custom(payload: bytes, name: str) -> Custom:
    try:
        fields = _anything.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Legal JSON that the strict reader has no value for (1e999): another program wrote it, so read it.
        fields = _lenient_object(payload)
    fields.pop("type", None)
    return Custom(event_type=name, data=fields)  # type: ignore[arg-type]


def _lenient_object(payload: bytes) -> dict[str, object]:
    try:
        fields: object = json.loads(payload)
    except ValueError as error:
        raise msgspec.DecodeError(f"not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise msgspec.DecodeError("not a JSON object")
    return fields
