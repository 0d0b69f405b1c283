"""The sellers that `payment_middleware.py` compares, each served by uvicorn (httptools, uvloop) in a process of its own.

    bare       an ASGI application that answers the same bytes to everybody
    limit      the least that a paid request can cost: header, EIP-712 with a cached domain, recovery, a replay set in memory
               and two durable journal appends, all by hand
    ours       X402Middleware over the same bare application; the facilitator settles at once, in memory
    unkept     the same with a journal that keeps nothing: what the journal costs is the difference
    official   the FastAPI middleware of PyPI x402 over a FastAPI route: its own offline verification (its facilitator's
               scheme with a chain that always agrees), settlement stubbed, no journal

Run as `python benches/payment_sellers.py <seller> <folder>`; prints `ready <port>`.
"""

from __future__ import annotations

import binascii
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from life.aios.ids import new_id
from life.aios.ports.journal import Appended, Journal
from life.aios.record import NewEvent
from life.crypto.eip3009 import TRANSFER_WITH_AUTHORIZATION_TYPE_HASH
from life.crypto.keccak import keccak256
from life.crypto.secp256k1 import recover_address
from life.haima.x402 import wire
from life.haima.x402.exact import domain_separator
from life.haima.x402.middleware import X402Middleware
from life.haima.x402.networks import BASE_SEPOLIA, USDC_BASE_SEPOLIA
from life.haima.x402.wire import PaymentPayload, PaymentRequirements, SettlementResponse, VerifyResponse
from life.host.clock import SystemClock, SystemEntropy
from life.lago.journal.sqlite import SqliteJournal

PRICE = "$0.01"
AMOUNT = 10_000
PAY_TO = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
BODY = b'{"goods":true}'
TRANSACTION = "0x" + "ab" * 32
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """The goods, to everybody."""
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": BODY})


# ---- limit


class _Authorization(msgspec.Struct, rename="camel", gc=False):
    from_: str = msgspec.field(name="from")
    to: str
    value: str
    valid_after: str
    valid_before: str
    nonce: str


class _Payload(msgspec.Struct, gc=False):
    signature: str
    authorization: _Authorization


class _Paid(msgspec.Struct, rename="camel", gc=False):
    x402_version: int
    accepted: PaymentRequirements
    payload: _Payload


_decode_paid = msgspec.json.Decoder(_Paid).decode
_SEPARATOR = domain_separator(BASE_SEPOLIA, USDC_BASE_SEPOLIA.address, "USDC", "2")
_SETTLED = SettlementResponse(success=True, transaction=TRANSACTION, network=BASE_SEPOLIA)


def check_payment(header: bytes) -> bytes:
    """The bare check: header, digest with a cached domain, recovery, and the header of the answer."""
    paid = _decode_paid(binascii.a2b_base64(header, strict_mode=True))
    if recover_address(_digest(paid.payload.authorization), bytes.fromhex(paid.payload.signature[2:])) != bytes.fromhex(
        paid.payload.authorization.from_[2:]
    ):
        raise RuntimeError("the signature is wrong")
    return wire.encode_header(_SETTLED).encode()


def _digest(authorization: _Authorization) -> bytes:
    struct = keccak256(
        b"".join(
            (
                TRANSFER_WITH_AUTHORIZATION_TYPE_HASH,
                bytes.fromhex(authorization.from_[2:]).rjust(32, b"\0"),
                bytes.fromhex(authorization.to[2:]).rjust(32, b"\0"),
                int(authorization.value).to_bytes(32, "big"),
                int(authorization.valid_after).to_bytes(32, "big"),
                int(authorization.valid_before).to_bytes(32, "big"),
                bytes.fromhex(authorization.nonce[2:]),
            )
        )
    )
    return keccak256(b"\x19\x01" + _SEPARATOR + struct)


def limit(journal: SqliteJournal) -> ASGIApp:
    """Everything inlined, nothing configurable, no case but the good one."""
    decode = _decode_paid
    encode = msgspec.json.Encoder().encode
    clock, entropy, seen = SystemClock(), SystemEntropy(), set[str]()
    settled = wire.encode_header(SettlementResponse(success=True, transaction=TRANSACTION, network=BASE_SEPOLIA))
    headers = [*_HEADERS, (b"payment-response", settled.encode())]

    def event(name: str, authorization: _Authorization) -> NewEvent:
        data = encode({"nonce": authorization.nonce, "payer": authorization.from_, "amount": authorization.value})
        return NewEvent(
            event_id=new_id(clock, entropy),
            session_id="sales",
            agent_id="seller",
            timestamp_us=clock.now_us(),
            payload=b'{"type":"Custom","event_type":"finance.' + name.encode() + b'","data":' + data + b"}",
            kind_name="Custom",
        )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        header = next((value for name, value in scope["headers"] if name == b"payment-signature"), b"")
        paid = decode(binascii.a2b_base64(header, strict_mode=True))
        authorization = paid.payload.authorization
        digest = _digest(authorization)
        signer = recover_address(digest, bytes.fromhex(paid.payload.signature[2:]))
        assert signer == bytes.fromhex(authorization.from_[2:])
        assert authorization.to == PAY_TO
        assert int(authorization.value) == AMOUNT
        assert authorization.nonce not in seen
        seen.add(authorization.nonce)
        await journal.append([event("claimed", authorization)])
        await journal.append([event("received", authorization)])
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": BODY})

    return app


# ---- ours


class AgreeableFacilitator:
    """Settles everything at once and remembers nothing: what is left is the seller's own work."""

    async def repeatable(self) -> bool:
        """So it says."""
        return True

    async def verify(self, payload: PaymentPayload, requirements: PaymentRequirements) -> VerifyResponse:
        """Yes."""
        return VerifyResponse(is_valid=True)

    async def settle(self, payload: PaymentPayload, requirements: PaymentRequirements) -> SettlementResponse:
        """Done."""
        return SettlementResponse(success=True, transaction=TRANSACTION, network=BASE_SEPOLIA)

    async def supported(self) -> wire.SupportedResponse:
        """The one network."""
        kind = wire.SupportedKind(x402_version=2, scheme="exact", network=BASE_SEPOLIA)
        return wire.SupportedResponse(kinds=(kind,))

    async def aclose(self) -> None:
        """Nothing to close."""


class NoJournal:
    """Says that every event is stored and keeps none: the two methods that a first arrival needs."""

    async def append(self, events: Sequence[NewEvent], *, expected: object = None) -> list[Appended]:
        """Nothing is a duplicate."""
        return [Appended(1, 1, "", False) for _ in events]

    async def get(self, event_id: str) -> None:
        """Nothing is known."""


def ours(journal: Journal) -> ASGIApp:
    """The middleware as it is delivered."""
    return X402Middleware(
        bare,
        routes={"GET /paid": PRICE},
        pay_to=PAY_TO,
        network=BASE_SEPOLIA,
        facilitator=AgreeableFacilitator(),
        journal=journal,
        clock=SystemClock(),
        entropy=SystemEntropy(),
        verify="local",
        sole_server=True,
    )


# ---- official


def official() -> ASGIApp:
    """PyPI x402 over FastAPI, offline."""
    from fastapi import FastAPI
    from x402 import x402FacilitatorSync, x402ResourceServer
    from x402.http import PaymentOption, RouteConfig
    from x402.http.middleware.fastapi import payment_middleware
    from x402.mechanisms.evm.exact import register_exact_evm_facilitator, register_exact_evm_server
    from x402.schemas import SettleResponse

    facilitator = x402FacilitatorSync()
    register_exact_evm_facilitator(facilitator, _agreeable_signer(), networks=BASE_SEPOLIA)

    class Client:
        async def verify(self, payload: Any, requirements: Any) -> Any:
            return facilitator.verify(payload, requirements)

        async def settle(self, payload: Any, requirements: Any) -> Any:
            return SettleResponse(success=True, transaction=TRANSACTION, network=BASE_SEPOLIA)

        def get_supported(self) -> Any:
            return facilitator.get_supported()

    server = x402ResourceServer(Client())
    register_exact_evm_server(server, networks=BASE_SEPOLIA)
    server.initialize()
    offer = PaymentOption(scheme="exact", pay_to=PAY_TO, price=PRICE, network=BASE_SEPOLIA)
    demand = payment_middleware({"GET /paid": RouteConfig(accepts=offer)}, server, sync_facilitator_on_start=False)
    app = FastAPI()
    app.middleware("http")(demand)

    @app.get("/paid")
    async def paid() -> dict[str, bool]:
        return {"goods": True}

    return app


def _agreeable_signer() -> Any:
    """A chain that agrees: no account has code, tokens do, every call succeeds. Signatures are recovered for real."""
    from eth_account import Account
    from eth_account.messages import encode_typed_data

    class Signer:
        def get_addresses(self) -> list[str]:
            return [PAY_TO]

        def read_contract(self, address: str, abi: Any, function_name: str, *args: Any) -> Any:
            return 0

        def verify_typed_data(
            self, address: str, domain: Any, types: Any, primary_type: str, message: Any, signature: bytes
        ) -> bool:
            fields = {"name": domain.name, "version": domain.version, "chainId": domain.chain_id}
            fields["verifyingContract"] = domain.verifying_contract
            named = {name: [{"name": each.name, "type": each.type} for each in kinds] for name, kinds in types.items()}
            signable = encode_typed_data(fields, named, message)
            return bool(Account.recover_message(signable, signature=signature).lower() == address.lower())

        def get_chain_id(self) -> int:
            return 84532

        def get_code(self, address: str) -> bytes:
            return b"\x60" if address.lower() == USDC_BASE_SEPOLIA.address.lower() else b""

        def get_balance(self, address: str, token_address: str) -> int:
            return 2**200

    return Signer()


# ---- serving


async def serve(app: ASGIApp) -> None:
    """Serve until SIGTERM."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        print(f"ready {listening.getsockname()[1]}", flush=True)
        config = uvicorn.Config(app, loop="uvloop", http="httptools", log_level="error", lifespan="off", ws="none")
        await uvicorn.Server(config).serve(sockets=[listening])


async def main(seller: str, folder: Path) -> None:
    """Make the seller and serve it."""
    makers: dict[str, Callable[[SqliteJournal], ASGIApp]] = {"limit": limit, "ours": ours}
    if seller in makers:
        path = folder / f"{seller}.db"
        async with SqliteJournal.open(path, clock=SystemClock(), writer="process", verify=False) as journal:
            await serve(makers[seller](journal))
    else:
        await serve(
            {"bare": lambda: bare, "unkept": lambda: ours(cast("Journal", NoJournal())), "official": official}[seller]()
        )


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(sys.argv[1], Path(sys.argv[2])))
