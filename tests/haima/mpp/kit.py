"""What the tests of the Machine Payments Protocol share: our shop on both rails, and pympp's client and server as peers.

pympp reads the system's clock, so everything here starts at its time. Money is play money on a local ledger; pympp's server
settles through our own facilitator, called by its interface.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import httpx2
import msgspec
from eth_account import Account
from mpp.client.transport import PaymentTransport
from mpp.methods.evm import client as evm_client
from mpp.methods.evm import server as evm_server
from mpp.methods.evm.assets import EvmAsset
from mpp.server.http import Request, Response
from mpp.server.mpp import Mpp
from starlette.types import ASGIApp, Receive, Scope, Send

from life.haima.facilitator.port import Facilitator, encode_settlement
from life.haima.mpp.challenge import Challenge, parse_challenges
from life.haima.mpp.credential import Credential, Receipt, decode_receipt, echo_of, encode_credential
from life.haima.mpp.evm import challenge_nonce, payload_of, source_of
from life.haima.mpp.server import MachinePayments
from life.haima.x402 import wire
from life.haima.x402.middleware import X402Middleware
from life.haima.x402.networks import LOCAL, PLAY_MONEY
from life.haima.x402.paid_routes import Route
from life.host.clock import SystemClock
from life.testing.chain import PAYEE, PAYER, sign
from life.testing.clock import ManualClock, SeededEntropy
from tests.haima.payer_kit import KEY_HEX
from tests.haima.shop import Shop

REALM = "shop.test"
SECRET = b"\x07" * 32
CHAIN_ID = int(LOCAL.removeprefix("eip155:"))
PLAY_ASSET = EvmAsset(PLAY_MONEY.address, PLAY_MONEY.decimals, CHAIN_ID, PLAY_MONEY.name, PLAY_MONEY.version)


def present_clock() -> ManualClock:
    """A clock that stands still at the system's time."""
    return ManualClock(SystemClock().now_us())


class MppShop(Shop):
    """A shop that asks on both rails."""

    def __init__(self, **options: Any) -> None:
        self.realm = options.pop("realm", REALM)
        self.secrets = options.pop("secrets", (SECRET,))
        self.credentials_in = options.pop("credentials_in", "Authorization")
        super().__init__(**options)
        transport = self.client._transport
        assert isinstance(transport, httpx2.ASGITransport)
        self.served: Any = transport.app

    def _sell(self, app: ASGIApp, demo_routes: Mapping[str, Route]) -> X402Middleware:
        self.payments = MachinePayments(
            super()._sell(app, demo_routes),
            realm=self.realm,
            secrets=self.secrets,
            clock=self.clock,
            entropy=SeededEntropy("challenges"),
            credentials_in=self.credentials_in,
        )
        return self.payments  # type: ignore[return-value]

    @property
    def payments_app(self) -> ASGIApp:
        """The whole shop, for clients of other libraries."""
        app: ASGIApp = self.served
        return app

    async def challenge(self, path: str = "/paid", method: str = "GET") -> Challenge:
        """A fresh challenge."""
        return challenge_of(await self.client.request(method, path))

    async def pay_challenge(self, credential: str, path: str = "/paid", **headers: str) -> httpx2.Response:
        """One request with a credential."""
        return await self.client.get(path, headers={"Authorization": credential, **headers})

    def credential(self, challenge: Challenge, **changes: Any) -> str:
        """PAYER's good credential for a challenge; parts of the authorization can be changed and are signed, too."""
        now_s = self.clock.now_us() // 1_000_000
        usual = {"nonce": challenge_nonce(challenge), "valid_before_s": now_s + 299}
        authorization = self.authorization(0, **{**usual, **changes})
        return credential_for(challenge, payload_of(authorization, sign(authorization)), source_of(authorization))


def credential_for(challenge: Challenge, payload: msgspec.Raw, source: str | None) -> str:
    """A credential with any payload."""
    return encode_credential(Credential(challenge=echo_of(challenge), payload=payload, source=source))


def challenge_of(response: httpx2.Response) -> Challenge:
    """The only challenge of a 402."""
    assert response.status_code == 402, response.text
    [challenge] = parse_challenges(", ".join(response.headers.get_list("www-authenticate")))
    return challenge


def receipt_of(response: httpx2.Response) -> Receipt:
    """The receipt of a paid answer."""
    return decode_receipt(response.headers["payment-receipt"])


# ---- pympp


def pympp_client(app: ASGIApp, *, key: str = KEY_HEX, host: str = REALM) -> httpx.AsyncClient:
    """pympp's client, whose requests go to `app`."""
    method = evm_client.charge(currency=PLAY_ASSET, account=Account.from_key(key), max_amount="1")
    transport = PaymentTransport(methods=[method], inner=httpx.ASGITransport(app))
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}")


class AsPyMppFacilitator:
    """Our facilitator by pympp's interface: dicts instead of structs."""

    def __init__(self, inner: Facilitator) -> None:
        self.inner = inner
        self.settled = 0
        self.loses = False

    async def verify(self, payment: Any, requirements: Any) -> Any:
        """See pympp."""
        answer = await self.inner.verify(
            wire.decode_payment(msgspec.json.encode(payment)), msgspec.convert(requirements, wire.PaymentRequirements)
        )
        return {"isValid": answer.is_valid, "invalidReason": answer.invalid_reason}

    async def settle(self, payment: Any, requirements: Any) -> Any:
        """See pympp."""
        self.settled += 1
        answer = await self.inner.settle(
            wire.decode_payment(msgspec.json.encode(payment)), msgspec.convert(requirements, wire.PaymentRequirements)
        )
        return msgspec.json.decode(encode_settlement(answer))


class PyMppShop:
    """pympp's server, selling `/paid` for a cent."""

    def __init__(
        self,
        facilitator: Facilitator,
        *,
        realm: str = "localhost",
        requires_auth: bool = False,
        currency: EvmAsset = PLAY_ASSET,
    ) -> None:
        self.facilitator = AsPyMppFacilitator(facilitator)
        self.runs = 0
        self.seen: list[dict[str, str]] = []
        self.loses_answers = 0
        self.body = False
        method = evm_server.charge(currency=currency, recipient=PAYEE, facilitator=self.facilitator)
        self.server = Mpp(methods=method, realm=realm, secret_key="s" * 32, requires_auth=requires_auth)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        body = (await receive()).get("body", b"")
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        self.seen.append(headers)
        url = f"http://localhost{scope['path']}"
        request = Request(scope["method"], url, headers, body or None)
        options: dict[str, Any] = {"body": lambda asked: asked.body} if self.body else {}
        result = await self.server.charge(amount="0.01", **options)(request)
        if result.status != 200:
            answer = result.challenge
        else:
            self.runs += 1
            answer = result.with_receipt(Response.json({"runs": self.runs}))
            if self.loses_answers:
                self.loses_answers -= 1
                raise ConnectionResetError
        start = [(name.lower().encode(), value.encode()) for name, value in answer.headers.multi_items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": start})
        await send({"type": "http.response.body", "body": answer.body or b""})


__all__ = ["PAYER", "REALM", "SECRET", "AsPyMppFacilitator", "MppShop", "PyMppShop", "pympp_client"]
