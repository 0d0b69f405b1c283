"""What an event says: the base of all kinds, and the open one.

A kind is a frozen struct whose class name is its tag on the wire (`"type"`). Optional fields are left out when absent.
The class name, the field names and their types are the wire format (aios.md §4); changing one changes the format.
"""

from __future__ import annotations

import msgspec

from life.aios.json import Json


class Kind(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=lambda name: name, omit_defaults=True, gc=False
):
    """Base of every event kind."""


class ImageReference(msgspec.Struct, frozen=True):
    """An image in an event: the SHA-256 of its blob (64 hex digits) and what it is (`image/png`, …)."""

    blob: str
    media_type: str


class Custom(Kind, frozen=True, kw_only=True):
    """An event of a subsystem or of somebody else, under a dotted `event_type` (aios.md §4, "Custom event namespaces").

    Unknown kinds read from a journal also appear as Custom: `event_type` is their tag, `data` their other fields. The
    stored bytes stay as they were.
    """

    event_type: str
    data: Json = None
