"""Signing in the process: a whole custody call against the bare curve of the same run (limits of anima.md §27).

    wallet, message          rules, EIP-191 digest, signature         limit: libsecp256k1 itself over the same digest
    wallet, authorization    rules, EIP-712 digest, signature         limit: that digest, then libsecp256k1 itself
    token                    checks, JSON, base64url, signature       limit: `cryptography` itself over the same bytes

The limits are calls of the compiled libraries with everything prepared: the message's digest, the token's domain and the
signing input are there, the key is loaded, and nothing is converted afterwards but a signature into its 65 bytes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Coroutine

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from measure import Claim, arguments, interleaved, report

from life.aios.ports.custody import TransferAuthorization
from life.anima.custody.in_process import InProcessAnima
from life.anima.custody.wallet_rules import token_domain
from life.crypto import secp256k1
from life.crypto.address import parse_address
from life.crypto.derivation import derive_p256_secret, derive_secp256k1_secret
from life.crypto.eip191 import personal_message_digest
from life.crypto.eip3009 import authorization_digest
from life.crypto.jws import algorithm_of, signing_input
from life.crypto.p256 import load_private_key
from life.testing.clock import START_US, ManualClock

SEED = b"B" * 32
NOW_S = START_US // 1_000_000


def per_second(work: Callable[[], object], count: int) -> Callable[[], float]:
    """A case that does `work` `count` times."""

    def run() -> float:
        start = time.perf_counter()
        for _ in range(count):
            work()
        return count / (time.perf_counter() - start)

    return run


def finished(call: Coroutine[object, object, object]) -> None:
    """Run a coroutine that never waits."""
    try:
        call.send(None)
    except StopIteration:
        return
    raise RuntimeError("the call waits for something")


def main() -> int:
    """Run and report."""
    options = arguments(__doc__ or "")
    count = 1000 if options.quick else 5000
    handle = InProcessAnima.from_seed(bytearray(SEED), clock=ManualClock())
    did, wallet = handle.capabilities().did, handle.capabilities().wallet_address
    assert did is not None
    assert wallet is not None
    secret = derive_secp256k1_secret(bytearray(SEED))
    message = b"a message of an agent to a person"
    digest = personal_message_digest(message)
    authorization = TransferAuthorization(
        network="eip155:84532",
        asset="0x036CbD53842c5426634e7929541eC2318f3dCF7e",
        token_name="USDC",
        token_version="2",
        from_address=wallet,
        to_address="0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
        value_atomic=10_000,
        valid_after_s=NOW_S - 600,
        valid_before_s=NOW_S + 300,
        nonce=bytes(32),
    )
    claims = {
        "iss": did,
        "sub": "agent",
        "aud": "lago",
        "jti": "01JD3Z0000000000000000000",
        "iat": NOW_S,
        "exp": NOW_S + 60,
    }
    key = load_private_key(derive_p256_secret(bytearray(SEED)))
    signed = signing_input(algorithm_of(handle._did.curve), claims, typ="JWT", kid=did)  # type: ignore[union-attr]
    bare_key, ecdsa = key._key, ec.ECDSA(SHA256(), deterministic_signing=True)
    new, from_buffer, null = secp256k1._new, secp256k1._from_buffer, secp256k1._NULL
    scalar = from_buffer(secp256k1._OCTETS, secret, require_writable=True)
    lib, context = secp256k1._lib, secp256k1._context

    _, separator = token_domain(authorization.network, authorization.asset, "USDC", "2")
    payer, payee = parse_address(wallet), parse_address(authorization.to_address)

    def digest_and_curve() -> None:
        sign(authorization_digest(separator, payer, payee, 10_000, NOW_S - 600, NOW_S + 300, authorization.nonce))

    def sign(digest: bytes) -> None:
        signature, output, number = new(secp256k1._RECOVERABLE), new(secp256k1._OCTETS_65), new(secp256k1._INT)
        lib.secp256k1_ecdsa_sign_recoverable(context, signature, digest, scalar, null, null)
        lib.secp256k1_ecdsa_recoverable_signature_serialize_compact(context, output, number, signature)

    cases = {
        "message": per_second(lambda: finished(handle.sign_message(message)), count),
        "authorization": per_second(lambda: finished(handle.sign_authorization(authorization)), count),
        "libsecp256k1": per_second(lambda: sign(digest), count),
        "digest, libsecp256k1": per_second(digest_and_curve, count),
        "token": per_second(lambda: handle.sign_claims(claims), count),
        "cryptography": per_second(lambda: bare_key.sign(signed, ecdsa), count),
    }
    results = interleaved(cases, rounds=options.rounds)
    handle.close()
    return report(
        results,
        "/s",
        [
            Claim("wallet signature against the curve", "message", "libsecp256k1", at_least=0.8),
            Claim("payment signature against the curve", "authorization", "digest, libsecp256k1", at_least=0.8),
            Claim("token against the curve", "token", "cryptography", at_least=0.8),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
