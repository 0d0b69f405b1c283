"""What `http_fetch` may send: URLs, methods and headers, checked before anything leaves.

A request is described by the model; the operator's `HttpFetchPolicy` says which headers the model may set and where a
redirect may lead. Fields that frame the message or carry payments are never the model's.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

import httpx2
import msgspec

from life.praxis.addresses import canonical_host, parse_patterns
from life.praxis.egress import EgressPolicy
from life.praxis.errors import PolicyViolationError, ToolInputError

Method = Literal["GET", "HEAD", "POST", "PUT", "DELETE"]

DEFAULT_REQUEST_HEADERS: Final = (
    "accept",
    "accept-language",
    "cache-control",
    "content-language",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-unmodified-since",
    "prefer",
    "range",
)

_NEVER_HEADERS: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-payment",
        "x-payment-response",
        "sign-in-with-x",
        "settlement-overrides",
    }
)
"""Framing and connection fields are the client's; payment fields are Haima's (x402 §2, both versions)."""

_NEVER_PREFIXES: Final = ("payment-", "proxy-", "sec-")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")  # RFC 9110 §5.6.2
_FIELD_VALUE: Final = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?|")  # RFC 9110 §5.5, ASCII only
_MAX_VALUE_CHARACTERS: Final = 4096
_MAX_HEADERS: Final = 32
MAX_URL_CHARACTERS: Final = 8192


class HttpFetchPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator lets `http_fetch` do."""

    egress: EgressPolicy = EgressPolicy()
    """Given to the client that the tool is constructed with."""
    request_headers: tuple[str, ...] = DEFAULT_REQUEST_HEADERS
    """Headers a model may set, in lower case. `authorization` and `cookie` are not among them unless added here."""
    redirect_hosts: tuple[str, ...] = ()
    """Patterns of hosts that a redirect may lead to besides the host that was asked for. Elsewhere the redirect itself
    is the result: the capability gate has judged one host, and a new call lets it judge the next."""
    idempotent_hosts: tuple[str, ...] = ()
    """Patterns of hosts known to honour `Idempotency-Key`: an interrupted POST, PUT or DELETE there is repeatable."""
    max_redirects: int = 5
    max_content_bytes: int = 200_000
    max_binary_bytes: int = 64 * 1024
    max_request_body_bytes: int = 1024 * 1024
    timeout_s: int = 60
    """For the whole call, payment and redirects included."""

    def check(self) -> None:
        """ValueError when a pattern, a header name or a limit can't be meant."""
        parse_patterns(self.redirect_hosts)
        parse_patterns(self.idempotent_hosts)
        parse_patterns(self.egress.allow_private_hosts)
        for name in self.request_headers:
            if name != name.lower() or _TOKEN.fullmatch(name) is None or _is_never(name):
                raise ValueError(f"http_fetch can't let a model set the header {name!r}")
        if min(self.max_content_bytes, self.max_binary_bytes, self.max_request_body_bytes, self.timeout_s) < 1:
            raise ValueError("the limits of http_fetch must be positive")
        if self.max_redirects < 0:
            raise ValueError("max_redirects must not be negative")


class Target(NamedTuple):
    """A checked URL."""

    url: httpx2.URL
    """Canonical host, no user part, no fragment."""
    host: str
    port: int

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port (RFC 6454)."""
        return self.url.scheme, self.host, self.port

    @property
    def capability(self) -> str:
        """`net:egress:<host>`, an IPv6 address without brackets."""
        return f"net:egress:{self.host}"


def parse_target(text: str, base: httpx2.URL | None = None) -> Target:
    """An absolute http or https URL, or one relative to `base`. ToolInputError says what is wrong with it."""
    if len(text) > MAX_URL_CHARACTERS:
        raise ToolInputError(f"The URL is longer than {MAX_URL_CHARACTERS} characters.")
    try:
        url = httpx2.URL(text) if base is None else base.join(text)
    except (httpx2.InvalidURL, ValueError, TypeError):
        raise ToolInputError("The URL can't be parsed.") from None
    if url.scheme not in ("http", "https"):
        raise ToolInputError("The URL must begin with http:// or https://.")
    if url.userinfo:
        raise ToolInputError("The URL must not contain a user name or password.")
    host = canonical_host(url.raw_host.decode("ascii"))
    port = url.port if url.port is not None else {"http": 80, "https": 443}[url.scheme]
    if not 1 <= port <= 65_535:
        raise ToolInputError("The port of the URL must be between 1 and 65535.")
    return Target(url.copy_with(host=host, fragment=None), host, port)


def check_headers(given: dict[str, str], policy: HttpFetchPolicy) -> dict[str, str]:
    """The headers in lower case. PolicyViolationError: not on the list; ToolInputError: can't be a header."""
    if len(given) > _MAX_HEADERS:
        raise ToolInputError(f"More than {_MAX_HEADERS} headers.")
    checked: dict[str, str] = {}
    for raw_name, value in given.items():
        name = raw_name.lower()
        if _TOKEN.fullmatch(name) is None:
            raise ToolInputError("A header name contains characters that are not allowed in one.")
        if _is_never(name) or name not in policy.request_headers:
            raise PolicyViolationError(
                f"The header '{name}' can't be set. Allowed: {', '.join(policy.request_headers)}."
            )
        if len(value) > _MAX_VALUE_CHARACTERS or _FIELD_VALUE.fullmatch(value) is None:
            raise ToolInputError(f"The value of the header '{name}' is not plain ASCII text on one line, or too long.")
        if name in checked:
            raise ToolInputError(f"The header '{name}' is given twice.")
        checked[name] = value
    return checked


def _is_never(name: str) -> bool:
    return name in _NEVER_HEADERS or name.startswith(_NEVER_PREFIXES)


def redirect_method(status: int, method: Method) -> Method | None:
    """The method of the next request (RFC 9110 §15.4), None when the status is no redirect.

    303 leads to a GET; 301 and 302 do the same after a POST, as every client does; 307 and 308 keep the method.
    """
    if status in (307, 308) or (status in (301, 302) and method != "POST"):
        return method
    if status in (301, 302, 303):
        return "HEAD" if method == "HEAD" else "GET"
    return None
