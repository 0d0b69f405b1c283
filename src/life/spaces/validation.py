"""What texts may look like. Lengths count characters (Unicode code points), with a cap in bytes where texts are long (W15).

Control characters are refused (a message keeps line breaks and tabs), and so are surrogates, the non-characters and the
invisible marks that turn text around or hide it in a name: two names that look the same must be the same.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from life.spaces.errors import InvalidArgumentError, TooLongError

MAX_USERNAME: Final = 32
MAX_NAME: Final = 100
MAX_TOPIC: Final = 1024
MAX_DESCRIPTION: Final = 1024
MAX_BIO: Final = 1024
MAX_URL: Final = 2048
MAX_CONTENT: Final = 4000
MAX_CONTENT_BYTES: Final = 16 * 1024
MAX_REASON: Final = 512
MAX_STATUS: Final = 128
MAX_SHORTCODE: Final = 32
MAX_CLIENT_ID: Final = 64
MAX_SIGNAL_BYTES: Final = 16 * 1024
MAX_ATTACHMENTS: Final = 10
MAX_ID: Final = 2**53 - 1
"""Ids and times survive JavaScript."""

_NAME_CATEGORIES_REFUSED: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_USERNAME: Final = re.compile(r"[^\W_][\w.\-]{0,31}")
_SHORTCODE: Final = re.compile(r":[a-z0-9_+\-]{1,30}:")
_CLIENT_ID: Final = re.compile(r"[\x21-\x7e]{1,64}")
_CONTENT_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_BIDI: Final = re.compile(r"[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+\-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+\-]{0,63}")


def check_length(text: str, limit: int, *, what: str, least: int = 1) -> str:
    """`text`, when it has `least` to `limit` characters."""
    if len(text) > limit:
        raise TooLongError(f"The {what} has {len(text)} characters; {limit} is the limit.", details={"limit": limit})
    if len(text) < least:
        raise InvalidArgumentError(f"The {what} must not be empty.")
    return text


def check_username(text: str) -> str:
    """A username in its stored form (NFKC): 1..32 letters, digits, `_`, `.`, `-`, beginning with a letter or digit."""
    name = unicodedata.normalize("NFKC", text)
    check_length(name, MAX_USERNAME, what="username")
    if _USERNAME.fullmatch(name) is None:
        raise InvalidArgumentError(
            "A username consists of letters, digits, '_', '.' and '-', and begins with a letter or digit."
        )
    return name


def username_key(name: str) -> str:
    """How usernames are compared: without case."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def check_name(text: str, *, what: str, limit: int = MAX_NAME) -> str:
    """A name of one line in its stored form (NFC, without blanks around it): no control, format or unassigned characters."""
    name = unicodedata.normalize("NFC", text).strip()
    check_length(name, limit, what=what)
    if any(unicodedata.category(character) in _NAME_CATEGORIES_REFUSED for character in name):
        raise InvalidArgumentError(f"The {what} holds control or invisible characters.")
    return name


def check_text(text: str, limit: int, *, what: str, least: int = 1) -> str:
    """A text that may have several lines: no control characters but tab and line break, no marks that turn text around."""
    check_length(text, limit, what=what, least=least)
    if not text.isascii() or not text.isprintable():
        if _CONTENT_CONTROLS.search(text) is not None:
            raise InvalidArgumentError(f"The {what} holds control characters.")
        if _BIDI.search(text) is not None:
            raise InvalidArgumentError(f"The {what} holds marks that turn text around.")
    return text


def check_optional(text: str | None, limit: int, *, what: str) -> str | None:
    """A text or None; an empty one is None."""
    return None if text is None or text == "" else check_text(text, limit, what=what)


def check_content(text: str) -> str:
    """A message's content: 1..4000 characters, at most 16 KiB, not only blanks."""
    check_text(text, MAX_CONTENT, what="content")
    if not text.isascii() and len(text.encode()) > MAX_CONTENT_BYTES:
        raise TooLongError(
            f"The content has more than {MAX_CONTENT_BYTES} bytes.", details={"limit_bytes": MAX_CONTENT_BYTES}
        )
    if text.isspace():
        raise InvalidArgumentError("The content must not be blank.")
    return text


def check_url(text: str | None, *, what: str) -> str | None:
    """An http(s) address or None."""
    if text is None or text == "":
        return None
    check_text(text, MAX_URL, what=what)
    if not text.startswith(("https://", "http://")) or any(character.isspace() for character in text):
        raise InvalidArgumentError(f"The {what} must be an http or https address.")
    return text


def check_emoji(text: str) -> str:
    """One grapheme cluster, or a `:shortcode:` of at most 32 characters."""
    if text.isascii():
        if _SHORTCODE.fullmatch(text) is not None:
            return text
        raise InvalidArgumentError("A reaction is one emoji or a :shortcode:.")
    check_length(text, MAX_SHORTCODE, what="reaction")
    if not is_one_grapheme(text) or unicodedata.category(text[0]) in ("Cc", "Cf", "Cs", "Co", "Cn", "Mn", "Me", "Zs"):
        raise InvalidArgumentError("A reaction is one emoji or a :shortcode:.")
    return text


def is_one_grapheme(text: str) -> bool:
    """Whether the text is a single user-perceived character (UAX #29, extended grapheme cluster)."""
    import regex  # costs 15 ms to import; only reactions need it

    return regex.fullmatch(r"\X", text) is not None


def check_client_id(text: str | None) -> str | None:
    """A sender's own id: 1..64 printable ASCII characters, or None."""
    if text is not None and _CLIENT_ID.fullmatch(text) is None:
        raise InvalidArgumentError("A client id has 1 to 64 printable ASCII characters without blanks.")
    return text


def check_number(value: int, *, what: str, least: int = 0, most: int = MAX_ID) -> int:
    """`value`, when it lies in the range."""
    if not least <= value <= most:
        raise InvalidArgumentError(f"The {what} must lie between {least} and {most}.")
    return value


def check_attachment(digest: str, media_type: str, size_bytes: int, name: str | None) -> None:
    """A reference to a blob: SHA-256 in hex, a media type, a size, and perhaps a file name."""
    if _DIGEST.fullmatch(digest) is None:
        raise InvalidArgumentError("An attachment names its content by the SHA-256, 64 lower-case hex digits.")
    if _MEDIA_TYPE.fullmatch(media_type) is None:
        raise InvalidArgumentError("An attachment's media type looks like image/png.")
    check_number(size_bytes, what="attachment's size")
    if name is not None:
        check_name(name, what="attachment's name")
