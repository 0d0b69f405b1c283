"""What every translation of a conversation into a vendor's words needs: call ids, images, and whose reasoning goes along.

Reasoning is sealed for the model that wrote it. It goes back to that very model unchanged, with the ids that the vendor
itself gave to the calls of that answer (signatures may cover them), and to nobody else; so a conversation that changes
its model is understood, and loses only thoughts that the new model could not read.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Final, Literal

import msgspec

from life.aios.errors import LifeError
from life.aios.ports.provider import (
    Block,
    ChatMessage,
    ImageBlock,
    ModelRequest,
    ReasoningBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from life.arcan.errors import ProviderRejectedError

ReadImage = Callable[[str], Awaitable[bytes]]
"""The bytes of the blob with this hash."""

Effort = Literal["low", "medium", "high"]
"""How deeply a model that can is to think."""

CONNECT_TIMEOUT_S: Final = 10.0
MAX_IMAGE_BYTES: Final = 20 * 1024 * 1024
MEDIA_TYPES: Final = ("image/png", "image/jpeg", "image/gif", "image/webp")
"""What every vendor here takes."""


def own_reasoning(message: ChatMessage, origin: str) -> bool:
    """Whether this turn holds reasoning that `origin` can read."""
    return any(isinstance(block, ReasoningBlock) and block.origin == origin for block in message.content)


def call_ids(messages: Iterable[ChatMessage], origin: str) -> dict[str, str]:
    """Our call id → the id on the wire: the vendor's own in answers whose reasoning goes back, ours everywhere else."""
    ids: dict[str, str] = {}
    for message in messages:
        own = own_reasoning(message, origin)
        for block in message.content:
            if isinstance(block, ToolUseBlock):
                ids[block.call_id] = block.vendor_id if own and block.vendor_id else block.call_id
    return ids


def seals_of(request: ModelRequest) -> list[str]:
    """The seals of all thoughts in a request, as text to compare."""
    return [
        _seal(block) for message in request.messages for block in message.content if isinstance(block, ReasoningBlock)
    ]


def without_reasoning(request: ModelRequest, seals: Collection[str] | None = None) -> ModelRequest:
    """The same request without thoughts; with `seals` only without those."""
    messages = tuple(
        ChatMessage(
            message.role,
            tuple(
                block
                for block in message.content
                if not (isinstance(block, ReasoningBlock) and (seals is None or _seal(block) in seals))
            ),
        )
        for message in request.messages
    )
    return msgspec.structs.replace(request, messages=messages)


def _seal(block: ReasoningBlock) -> str:
    return msgspec.json.encode(block.sealed, order="sorted").decode()


def images_of(request: ModelRequest) -> list[ImageBlock]:
    """Every image of a request, each blob once, in order."""
    found: dict[str, ImageBlock] = {}
    for message in request.messages:
        for block in message.content:
            for image in _images(block):
                found.setdefault(image.blob, image)
    return list(found.values())


async def load_images(request: ModelRequest, read: ReadImage | None) -> Mapping[str, str]:
    """Base64 of every image by its blob's hash. ProviderRejectedError when one can't be had: a request that silently
    lacks what the user showed would be answered wrongly."""
    loaded: dict[str, str] = {}
    for image in images_of(request):
        if image.media_type not in MEDIA_TYPES:
            raise ProviderRejectedError(f"Images of the type '{image.media_type}' can't be shown to a model.")
        if read is None:
            raise ProviderRejectedError(
                "The conversation has images, and this provider was opened without a blob store."
            )
        try:
            content = await read(image.blob)
        except LifeError as error:
            raise ProviderRejectedError(f"An image can't be read: {error.message}") from None
        if len(content) > MAX_IMAGE_BYTES:
            raise ProviderRejectedError(f"An image is larger than {MAX_IMAGE_BYTES} bytes.")
        loaded[image.blob] = base64.b64encode(content).decode()
    return loaded


def _images(block: Block) -> tuple[ImageBlock, ...]:
    if isinstance(block, ImageBlock):
        return (block,)
    return block.images if isinstance(block, ToolResultBlock) else ()
