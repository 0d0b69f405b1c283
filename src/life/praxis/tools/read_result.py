"""`read_result`: the rest of a result that was too long to be shown, page by page."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from life.aios.json import Json
from life.aios.ports.tools import Probe, ToolAnnotations, ToolContext, ToolDefinition, ToolOutcome
from life.praxis.errors import ToolInputError
from life.praxis.result_store import ResultBlobs, load_result
from life.praxis.tool import input_schema, read_only_probe

MAX_PAGE_BYTES: Final = 64 * 1024
_ENVELOPE_BYTES: Final = 512
_CONTINUATION: Final = 0b1100_0000
_CONTINUATION_MARK: Final = 0b1000_0000


class ReadResultArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of `read_result`."""

    result: Annotated[
        str,
        msgspec.Meta(description="The hash that stands as `result` in a shortened result.", pattern="^[0-9a-f]{64}$"),
    ]
    offset: Annotated[int, msgspec.Meta(description="First byte to read, from 0.", ge=0)] = 0
    limit: Annotated[int, msgspec.Meta(description="At most this many bytes.", ge=4, le=MAX_PAGE_BYTES)] = (
        MAX_PAGE_BYTES
    )


class ReadResult:
    """Pages of stored results of the same session."""

    arguments = ReadResultArguments

    def __init__(self, blobs: ResultBlobs, *, max_result_bytes: int = 4 * MAX_PAGE_BYTES) -> None:
        """`max_result_bytes`: the registry's limit. A page fits it whatever it holds: as text in JSON it may double."""
        self._blobs = blobs
        self._max_page_bytes = max(4, min(MAX_PAGE_BYTES, (max_result_bytes - _ENVELOPE_BYTES) // 2))
        self.definition = ToolDefinition(
            name="read_result",
            description=(
                "Read more of a tool's result that was too long to be shown whole. Takes the hash in `result` and an "
                "offset in bytes of its JSON text; returns content, next_offset and total_bytes."
            ),
            input_schema=input_schema(ReadResultArguments),
            annotations=ToolAnnotations(read_only=True, idempotent=True),
            category="results",
        )

    def capabilities(self, arguments: ReadResultArguments, context: ToolContext) -> tuple[str, ...]:
        """None: the session got this result already."""
        return ()

    async def prepare(self, arguments: ReadResultArguments, context: ToolContext) -> Json:
        """Nothing to remember."""
        return None

    async def run(self, arguments: ReadResultArguments, context: ToolContext) -> ToolOutcome:
        """`{result, content, offset, next_offset?, total_bytes}`; pages begin and end between characters."""
        encoded = await load_result(self._blobs, context.session_id, arguments.result)
        if arguments.offset >= len(encoded):
            raise ToolInputError(f"The result has {len(encoded)} bytes; the offset is past its end.")
        start = _between_characters(encoded, arguments.offset)
        end = _between_characters(encoded, min(len(encoded), start + min(arguments.limit, self._max_page_bytes)))
        output: dict[str, Json] = {
            "result": arguments.result,
            "content": encoded[start:end].decode(errors="replace"),
            "offset": start,
            "total_bytes": len(encoded),
        }
        if end < len(encoded):
            output["next_offset"] = end
        return ToolOutcome(status="ok", output=output)

    async def probe(self, arguments: ReadResultArguments, context: ToolContext, prepared: Json) -> Probe:
        """Always repeatable."""
        return read_only_probe("Reading a stored result changes nothing.")


def _between_characters(encoded: bytes, position: int) -> int:
    """The position, or the one up to three bytes before it where a character begins."""
    while 0 < position < len(encoded) and encoded[position] & _CONTINUATION == _CONTINUATION_MARK:
        position -= 1
    return position
