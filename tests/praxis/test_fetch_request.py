"""What a request may be."""

from __future__ import annotations

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.praxis.errors import PolicyViolationError, ToolInputError
from life.praxis.fetch_request import HttpFetchPolicy, Method, check_headers, parse_target, redirect_method

POLICY = HttpFetchPolicy()


@pytest.mark.parametrize(
    ("text", "url", "host", "port"),
    [
        ("https://Example.com", "https://example.com", "example.com", 443),
        ("HTTP://example.com.:8080/a b?q=é#part", "http://example.com:8080/a%20b?q=%C3%A9", "example.com", 8080),
        ("http://éx.com/", "http://xn--x-9fa.com/", "xn--x-9fa.com", 80),
        ("http://127。0。0。1/", "http://127.0.0.1/", "127.0.0.1", 80),
        ("http://[2001:DB8::1]:81/x", "http://[2001:db8::1]:81/x", "2001:db8::1", 81),
        ("https://h/../../etc/passwd", "https://h/etc/passwd", "h", 443),
    ],
)
def test_targets(text: str, url: str, host: str, port: int) -> None:
    """One canonical URL; the capability names its host; no fragment is sent."""
    target = parse_target(text)
    assert (str(target.url), target.host, target.port) == (url, host, port)
    assert target.capability == f"net:egress:{host}"


@pytest.mark.parametrize(
    "text",
    [
        "", "example.com", "//example.com/", "/path", "file:///etc/passwd", "ftp://example.com/", "gopher://x/",
        "javascript:alert(1)", "unix:/run/docker.sock", "http:///x", "http://", "http://user@example.com/",
        "http://user:pw@example.com/", "http://good.com\\@evil.com/", "http://example.com:0/", "http://example.com:-1/",
        "http://example.com:65536/", "http://example.com:x/", "http://2130706433/", "http://0x7f.1/", "http://127.1/",
        "http://a%00b/", "http://[::1", "http://[fe80::1%25eth0]/", "http://example.com/\r\nX: y", "http://e\nx.com/",
        "https://example.com/" + "a" * 8200, "http://\ud800/", "http://１２７.0.0.1/", "http://a..b/",
    ],
)  # fmt: skip
def test_what_is_no_target(text: str) -> None:
    """Other schemes, credentials in the URL, odd hosts and ports, control characters: refused with a clear error."""
    with pytest.raises(ToolInputError):
        parse_target(text)


@given(st.text(max_size=60) | st.from_regex(r"https?://[a-z0-9.@:\[\]%\\/-]{0,30}", fullmatch=True))
def test_any_text_is_a_target_or_a_clear_error(text: str) -> None:
    """No other exception, and what is accepted reads back as itself."""
    try:
        target = parse_target(text)
    except ToolInputError:
        return
    assert parse_target(str(target.url)) == target
    assert target.url.raw_host.decode() == target.host


def test_redirects_are_joined_and_checked() -> None:
    """Relative, absolute and scheme-relative locations; a bad one is an error like any URL."""
    base = httpx2.URL("https://example.com/a/b?c")
    assert str(parse_target("../x", base).url) == "https://example.com/x"
    assert str(parse_target("//other.com/y", base).url) == "https://other.com/y"
    assert parse_target("http://127.0.0.1/", base).host == "127.0.0.1"
    for location in ("file:///etc/passwd", "http://u:p@x/", "http://[", "http://0x7f.1/"):
        with pytest.raises(ToolInputError):
            parse_target(location, base)


def test_headers_on_the_list_pass() -> None:
    """Names in lower case, values as they are."""
    assert check_headers({"Accept": "text/html; q=0.5", "If-None-Match": '"abc"', "Prefer": ""}, POLICY) == {
        "accept": "text/html; q=0.5",
        "if-none-match": '"abc"',
        "prefer": "",
    }


@pytest.mark.parametrize(
    "name",
    [
        "authorization", "Cookie", "host", "content-length", "transfer-encoding", "connection", "x-custom", "X-Payment",
        "PAYMENT-SIGNATURE", "payment-required", "x-payment-response", "sign-in-with-x", "proxy-authorization", "te",
        "upgrade", "expect", "accept-encoding", "x-forwarded-for", "sec-fetch-site",
    ],
)  # fmt: skip
def test_headers_off_the_list_are_refused(name: str) -> None:
    """Credentials, framing, payment fields and whatever nobody thought of."""
    with pytest.raises(PolicyViolationError):
        check_headers({name: "x"}, POLICY)


def test_credentials_can_be_permitted_but_payments_and_framing_can_not() -> None:
    """The operator may add `authorization`; a policy that adds a payment or framing field is refused at start."""
    policy = HttpFetchPolicy(request_headers=("authorization",))
    policy.check()
    assert check_headers({"Authorization": "Bearer x"}, policy) == {"authorization": "Bearer x"}
    for name in ("payment-signature", "x-payment", "host", "content-length", "a b", "X-Upper", ""):
        with pytest.raises(ValueError):
            HttpFetchPolicy(request_headers=(name,)).check()


@pytest.mark.parametrize(
    "headers",
    [
        {"accept": "a\r\nX-Payment: stolen"}, {"accept": "a\nb"}, {"accept": "a\0"}, {"accept": " a"}, {"accept": "a "},
        {"accept": "é"}, {"accept": "x" * 4097}, {"accept\r\nx-payment": "x"}, {"acc ept": "x"}, {"": "x"}, {"é": "x"},
        {"Accept": "a", "accept": "b"}, {f"x{number}": "" for number in range(33)},
    ],
)  # fmt: skip
def test_header_injection_is_refused(headers: dict[str, str]) -> None:
    """No line break, no control character, no name that is no token, no name twice, not too many."""
    with pytest.raises(ToolInputError):
        check_headers(headers, POLICY)


@pytest.mark.parametrize(
    ("status", "method", "expected"),
    [
        (200, "GET", None), (300, "GET", None), (304, "GET", None), (301, "GET", "GET"), (302, "HEAD", "HEAD"),
        (301, "POST", "GET"), (302, "POST", "GET"), (302, "PUT", "PUT"), (303, "POST", "GET"), (303, "PUT", "GET"),
        (303, "HEAD", "HEAD"), (303, "DELETE", "GET"), (307, "POST", "POST"), (308, "DELETE", "DELETE"),
    ],
)  # fmt: skip
def test_redirect_methods(status: int, method: Method, expected: Method | None) -> None:
    """RFC 9110 §15.4, with the POST-to-GET change that every client makes for 301 and 302."""
    assert redirect_method(status, method) == expected
