"""Signing and checking one payment, against the curve itself and against the official Python SDK (x402.md §15).

    sign      typed data, signature and PAYMENT-SIGNATURE header   limit: digest with cached domain + libsecp256k1
    verify    header, parsing, all offline checks                  limit: digest + recover + address

The official package runs in the same rounds, on the same keys and terms; where it needs a chain (code at the payer's
address, code at the token), it gets an answer at once.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable

from eth_account import Account
from measure import Claim, arguments, interleaved, report
from payment_client import BenchClock
from payment_server import requirements
from x402.http.utils import decode_payment_signature_header, encode_payment_signature_header
from x402.mechanisms.evm.exact import ExactEvmFacilitatorScheme, ExactEvmScheme
from x402.schemas import PaymentPayload as OfficialPayload
from x402.schemas import PaymentRequirements as OfficialRequirements

from life.aios.ports.custody import TransferAuthorization
from life.anima.custody.in_process import InProcessAnima
from life.crypto import eip3009, secp256k1
from life.crypto.address import format_address
from life.haima.x402 import exact, wire

KEY = bytes.fromhex("59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d")
NOW_S = 1_800_000_000


def per_second(work: Callable[[], object], count: int) -> Callable[[], float]:
    """A case that does `work` `count` times."""

    def run() -> float:
        start = time.perf_counter()
        for _ in range(count):
            work()
        return count / (time.perf_counter() - start)

    return run


class NoChain:
    """Answers the official verifier's questions to the chain at once: a plain payer, a deployed token."""

    def get_addresses(self) -> list[str]:
        """The facilitator's."""
        return ["0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"]

    def get_code(self, address: str) -> bytes:
        """Only the token has code."""
        return b"\x60" if address.lower() == requirements().asset.lower() else b""

    def read_contract(self, *_: object, **__: object) -> object:
        """Whatever is asked, it is fine."""
        return True

    def verify_typed_data(self, *_: object, **__: object) -> bool:
        """Only asked for contract wallets."""
        return True


def main() -> int:
    """Run and report."""
    options = arguments(__doc__ or "")
    count = 300 if options.quick else 2000
    secret = bytearray(KEY)
    payer = secp256k1.address_of(secp256k1.public_key(secret))
    terms = requirements("10000")
    raw, resource = wire.to_raw(terms), wire.to_raw(wire.ResourceInfo(url="https://a.example/x"))
    authorization = TransferAuthorization(
        terms.network,
        terms.asset,
        "USDC",
        "2",
        format_address(payer),
        terms.pay_to,
        10000,
        0,
        NOW_S + 300,
        b"\x11" * 32,
    )
    separator = exact.domain_separator(terms.network, terms.asset, "USDC", "2")
    payee = bytes.fromhex(terms.pay_to[2:])
    clock = BenchClock()
    clock.now_us = lambda: NOW_S * 1_000_000  # type: ignore[method-assign]
    custody = InProcessAnima.from_wallet_key(bytearray(KEY), clock=clock)
    signature = secp256k1.sign_recoverable(exact.digest(authorization), secret)
    header = wire.encode_header(exact.build_payload(raw, authorization, signature, resource=resource))
    loop = asyncio.new_event_loop()

    def digest() -> bytes:
        return eip3009.authorization_digest(separator, payer, payee, 10000, 0, NOW_S + 300, authorization.nonce)

    def sign_limit() -> None:
        secp256k1.sign_recoverable(digest(), secret)

    def sign() -> None:
        try:
            custody.sign_authorization(authorization).send(None)
        except StopIteration as signed:
            wire.encode_header(exact.build_payload(raw, authorization, signed.value, resource=resource))

    def verify_limit() -> None:
        assert secp256k1.recover_address(digest(), signature) == payer

    def verify() -> None:
        signed = exact.parse_exact(wire.decode_payment_signature(header), terms)
        assert exact.verify_offline(signed, terms, now_s=NOW_S) is None

    official_terms = OfficialRequirements.model_validate_json(bytes(raw))
    official_client = ExactEvmScheme(Account.from_key(KEY))
    official_verifier = ExactEvmFacilitatorScheme(NoChain())  # type: ignore[arg-type]
    current = int(time.time())
    fresh = authorization._replace(valid_before_s=current + 3000)
    fresh_signature = secp256k1.sign_recoverable(exact.digest(fresh), secret)
    fresh_header = wire.encode_header(exact.build_payload(raw, fresh, fresh_signature, resource=resource))

    def official_sign() -> None:
        content = official_client.create_payment_payload(official_terms)
        encode_payment_signature_header(OfficialPayload(payload=content, accepted=official_terms))

    def official_verify() -> None:
        payload = decode_payment_signature_header(fresh_header)
        assert isinstance(payload, OfficialPayload)
        answer = official_verifier.verify(payload, official_terms)
        assert answer.is_valid, answer

    official_verify()
    cases = {
        "sign": per_second(sign, count),
        "sign, limit": per_second(sign_limit, count),
        "sign, official": per_second(official_sign, count // 10),
        "verify": per_second(verify, count),
        "verify, limit": per_second(verify_limit, count),
        "verify, official": per_second(official_verify, count // 10),
    }
    results = interleaved(cases, rounds=options.rounds)
    loop.close()
    return report(
        results,
        "/s",
        [
            Claim("sign against the curve", "sign", "sign, limit", at_least=0.6),
            Claim("sign against the official SDK", "sign", "sign, official", at_least=5),
            Claim("verify against the curve", "verify", "verify, limit", at_least=0.6),
            Claim("verify against the official SDK", "verify", "verify, official", at_least=3),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
