"""The type of any JSON value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None
    JsonObject: TypeAlias = Mapping[str, "Json"]
else:  # msgspec does not follow recursive aliases; `object` means "any JSON value" to it
    Json: TypeAlias = Annotated[object, msgspec.Meta(extra_json_schema={"description": "Any JSON value."})]
    JsonObject: TypeAlias = dict[str, Json]
