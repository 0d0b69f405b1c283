"""Challenges through every client that pays, over real sockets: several fields, the caller's own header, redirects."""

from __future__ import annotations

import pytest
from starlette.types import Receive, Scope, Send

from life.haima.mpp.challenge import format_challenge
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock
from tests.haima.mpp.test_client import Seller, receipt
from tests.haima.test_clients import KINDS, client
from tests.haima.test_transport import serving

Header = tuple[bytes, bytes]


class SeveralFields(Seller):
    """Asks in two fields, with a method of somebody else's first; `/moved` is paid and then elsewhere."""

    def __init__(self, **changes: str) -> None:
        super().__init__(ManualClock(), realm="127.0.0.1", **changes)
        self.seen: list[tuple[str, dict[str, str]]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        await receive()
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        self.seen.append((scope["path"], headers))
        field = "payment-authorization" if "header" in self.changes else "authorization"
        answer: list[Header] = []
        status, body = 200, b"goods"
        if scope["path"] == "/free":
            pass
        elif not headers.get(field, "").startswith("Payment "):
            status = 402
            ours = self.challenge()
            for challenge in (ours._replace(method="tempo"), ours):
                answer.append((b"www-authenticate", format_challenge(challenge).encode()))
            answer.append((b"www-authenticate", b'Bearer realm="x"'))
        else:
            self.paid.append(headers[field])
            answer.append((b"payment-receipt", receipt().encode()))
            if scope["path"] == "/moved":
                status = 303
                answer.append((b"location", b"/free"))
        answer.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": answer})
        await send({"type": "http.response.body", "body": body})


@pytest.mark.parametrize("kind", KINDS)
def test_every_client_pays_challenges(kind: str) -> None:
    """The one that is ours, of several; the receipt says that it was settled; a second call pays a second challenge."""
    seller, journal = SeveralFields(), MemoryJournal()
    with serving(seller) as url, client(kind, journal) as fetch:
        for _ in range(2):
            answer = fetch("POST", url + "/paid", body=b"order")
            assert (answer.status, answer.body) == (200, b"goods")
            assert answer.receipt is not None
            assert (answer.receipt.state, answer.receipt.transaction) == ("settled", "0xabc")
    assert len(set(seller.paid)) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_no_client_takes_a_credential_elsewhere(kind: str) -> None:
    """What a paid request is redirected to is asked without it, at the same origin, too."""
    seller = SeveralFields()
    with serving(seller) as url, client(kind) as fetch:
        answer = fetch("GET", url + "/moved", follow=True)
        assert (answer.status, answer.body) == (200, b"goods")
    path, headers = seller.seen[-1]
    assert path == "/free"
    assert not headers.get("authorization", "").startswith("Payment ")
    assert len(seller.paid) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_callers_own_authorization_stays_where_the_seller_leaves_it(kind: str) -> None:
    """With `Payment-Authorization` both headers arrive; the credential is gone from what a redirect makes of it."""
    seller = SeveralFields(header="Payment-Authorization")
    with serving(seller) as url, client(kind) as fetch:
        answer = fetch("GET", url + "/moved", headers={"Authorization": "Bearer mine"}, follow=True)
        assert answer.status == 200
    assert [headers.get("authorization") for _, headers in seller.seen] == ["Bearer mine"] * 3
    assert "payment-authorization" not in seller.seen[-1][1]
    assert len(seller.paid) == 1
