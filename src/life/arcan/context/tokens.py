"""How long a text is for a model.

Where the provider counted (the usage of the last answer), its count stands, and only what came after it is estimated. The estimate is one
everywhere: bytes of UTF-8 / 4, rounded up, at least 1 for any text, and 4 for each message. On ASCII that is the characters / 4 of arcan.md
§5.2; in other scripts, where a character costs a model about one token, it errs less.
"""

from __future__ import annotations

from typing import Final

import msgspec

from life.aios.ports.provider import ChatMessage, ReasoningBlock, TextBlock, ToolResultBlock, ToolUseBlock

BYTES_PER_TOKEN: Final = 4
MESSAGE_TOKENS: Final = 4
"""What a message costs beside its text."""

IMAGE_BYTES: Final = 6_400
"""An image is about 1,600 tokens to most models, however large its file."""

_encoder: Final = msgspec.json.Encoder()


def text_bytes(text: str) -> int:
    """Bytes of the text in UTF-8; half characters count as three."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def tokens_of_bytes(size_bytes: int) -> int:
    """About how many tokens so many bytes of text are."""
    return -(-max(0, size_bytes) // BYTES_PER_TOKEN)


def estimate_tokens(text: str) -> int:
    """About how many tokens a model reads; 0 only for no text at all."""
    return tokens_of_bytes(text_bytes(text))


def message_bytes(message: ChatMessage) -> int:
    """The size of a message's text, with what it costs to be a message."""
    size = MESSAGE_TOKENS * BYTES_PER_TOKEN
    for block in message.content:
        if isinstance(block, TextBlock):
            size += text_bytes(block.text)
        elif isinstance(block, ToolResultBlock):
            size += text_bytes(block.content) + IMAGE_BYTES * len(block.images)
        elif isinstance(block, ToolUseBlock):
            size += len(block.tool_name) + len(_encoder.encode(block.arguments))
        elif isinstance(block, ReasoningBlock):
            size += text_bytes(block.text) + len(_encoder.encode(block.sealed))
        else:
            size += IMAGE_BYTES
    return size
