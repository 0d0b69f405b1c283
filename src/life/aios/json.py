"""The type of any JSON value."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None
    JsonObject: TypeAlias = Mapping[str, "Json"]
else:  # msgspec does not follow recursive aliases; `object` means "any JSON value" to it
    Json: TypeAlias = object
    JsonObject: TypeAlias = dict[str, object]
