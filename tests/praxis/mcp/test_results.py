"""Results of other servers become outcomes of bounded size, and content survives the way there and back."""

from __future__ import annotations

import base64

import mcp_types as types
import msgspec
from hypothesis import given
from hypothesis import strategies as st

from life.praxis.mcp.blocks import as_text, content_blocks
from life.praxis.mcp.results import MAX_MEDIA_CHARACTERS, MAX_TEXT_CHARACTERS, outcome_of

PIXEL = base64.b64encode(b"\x89PNG").decode()


def result(*blocks: types.ContentBlock, **members: object) -> types.CallToolResult:
    """A tool's result."""
    return types.CallToolResult(content=list(blocks), **members)  # type: ignore[arg-type]


def test_text_alone_is_text_and_an_error_is_an_error() -> None:
    """Several texts are joined; `isError` becomes the status, with the words as the error."""
    both = outcome_of(result(types.TextContent(text="a"), types.TextContent(text="b")))
    assert (both.status, both.output) == ("ok", {"text": "a\nb"})
    failed = outcome_of(result(types.TextContent(text="no"), is_error=True))
    assert (failed.status, failed.output) == ("error", {"text": "no", "error": "no"})
    assert outcome_of(result()).output == {"text": ""}


def test_images_resources_and_links_keep_their_form() -> None:
    """What came as blocks can leave as blocks."""
    outcome = outcome_of(
        result(
            types.TextContent(text="see"),
            types.ImageContent(data=PIXEL, mime_type="image/png"),
            types.ResourceLink(uri="https://x/", name="x"),
            types.EmbeddedResource(resource=types.TextResourceContents(uri="a:b", text="t")),
            types.EmbeddedResource(resource=types.BlobResourceContents(uri="a:c", blob=PIXEL)),
        )
    )
    blocks = content_blocks(outcome.output)
    assert blocks is not None
    assert [block["type"] for block in blocks] == ["text", "image", "resource_link", "resource", "resource"]


def test_what_is_too_large_is_left_out_and_named() -> None:
    """Text is cut with its rest counted; an image beyond the limit is told by size and digest; many blocks end."""
    long = outcome_of(result(types.TextContent(text="x" * (MAX_TEXT_CHARACTERS + 5))))
    assert "5 more characters" in str(long.output)
    huge = base64.b64encode(b"\0" * MAX_MEDIA_CHARACTERS).decode()
    image = outcome_of(
        result(types.ImageContent(data=huge, mime_type="image/png"), types.ImageContent(data="?", mime_type="a"))
    )
    assert "SHA-256" in str(image.output)
    many = outcome_of(result(*[types.TextContent(text="x")] * 1_000))
    assert "800 more blocks" in str(many.output)
    structured = outcome_of(result(types.TextContent(text="x"), structured_content={"a": "y" * 70_000}))
    assert isinstance(structured.output, dict) and "structured_note" in structured.output


def test_structured_content_is_given_once() -> None:
    """Servers repeat it as text for older clients; only what differs is given twice."""
    same = outcome_of(result(types.TextContent(text='{"a": 1}'), structured_content={"a": 1}))
    assert same.output == {"text": '{"a": 1}'}
    other = outcome_of(result(types.TextContent(text="one"), structured_content={"a": 1}))
    assert other.output == {"text": "one", "structured": {"a": 1}}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_any_output_can_be_sent(output: object) -> None:
    """Every JSON is text for a client, and only well-formed blocks are taken for blocks."""
    assert isinstance(as_text(output), str)  # type: ignore[arg-type]
    assert content_blocks({"content": [output]}) is None or isinstance(output, dict)  # type: ignore[list-item]
    msgspec.json.encode(output)
