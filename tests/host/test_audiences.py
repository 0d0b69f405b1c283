"""A token shown to one daemon is worth nothing at another."""

from __future__ import annotations

import pytest

from life.host.audiences import audience_at, audience_of_host, own_audience


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("http://127.0.0.1:3004", "127.0.0.1:3004"),
        ("wss://Hub.Example/v1/spaces/ws", "hub.example"),
        ("https://hub.example:443", "hub.example"),
        ("ws://hub.example:80/", "hub.example"),
        ("https://hub.example:80", "hub.example:80"),
        ("http://[::1]:3004", "[::1]:3004"),
        ("https://ann:secret@hub.example", "hub.example"),
    ],
)
def test_an_address_and_its_host_header_are_one_audience(address: str, host: str) -> None:
    """What a client names is what the server knows itself by; no login of an address gets into a token."""
    assert audience_at("spacesd", address) == audience_of_host("spacesd", host) == f"spacesd:{host}"


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c", "." * 3, "e30.e30.e30"])
def test_what_is_no_token_names_nobody(token: str) -> None:
    """It is refused where tokens are verified, not here."""
    assert own_audience(token, "spacesd", ("hub.example",)) is None
