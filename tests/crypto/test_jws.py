"""Signed tokens: the rotation-proof vector, an independent implementation, and forgeries of every known kind."""

import json
from collections.abc import Callable
from hashlib import sha256

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from life.crypto import jws, p256, secp256k1
from life.crypto.base64url import decode_base64url, encode_base64url
from life.crypto.did import Curve, DidKey, encode_did, resolve_did
from life.crypto.errors import CryptoError, InvalidSignatureError, InvalidTokenError, UnacceptableAlgorithmError
from tests.crypto import vectors
from tests.crypto.strategies import FEW

ALL = frozenset(Curve)
KEY_A = p256.load_private_key(bytearray(vectors.P256_SECRET_A))
DID_KEY_A = resolve_did(vectors.DID_A)
ED25519_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
DID_KEY_ED25519 = resolve_did(encode_did(Curve.ED25519, ED25519_KEY.public_key().public_bytes_raw()))
WALLET = bytearray(vectors.SECP256K1_SECRET_A)
DID_KEY_WALLET = resolve_did(encode_did(Curve.SECP256K1, secp256k1.compress(secp256k1.public_key(WALLET))))
CLAIMS = {"sub": "somebody", "n": 1}


def sign_es256k(message: bytes) -> bytes:
    return secp256k1.sign_recoverable(sha256(message).digest(), WALLET)[:64]


SIGNERS: list[tuple[DidKey, Callable[[bytes], bytes], str]] = [
    (DID_KEY_A, KEY_A.sign, "ES256"),
    (DID_KEY_WALLET, sign_es256k, "ES256K"),
    (DID_KEY_ED25519, ED25519_KEY.sign, "EdDSA"),
]


def token_with(header: object, payload: bytes = b"{}", sign: Callable[[bytes], bytes] = KEY_A.sign) -> str:
    """Build a token with any header, correctly signed by the P-256 key unless told otherwise."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    message = f"{encode_base64url(text)}.{encode_base64url(payload)}".encode()
    return f"{message.decode()}.{encode_base64url(sign(message))}"


HEADER: dict[str, object] = {"alg": "ES256", "typ": "JWT", "kid": vectors.DID_A}


def test_rotation_proof_vector() -> None:
    """The published proof A to B verifies, and building it again gives the same bytes."""
    verified = jws.verify(vectors.ROTATION_PROOF, typ="JWT")
    claims = {"iss": vectors.DID_A, "sub": vectors.DID_B, "type": "anima.rotation_proof", "iat": 1777593600}
    assert verified.claims == claims
    assert (verified.signer, verified.algorithm) == (DID_KEY_A, jws.Algorithm.ES256)
    assert jws.sign(claims, key=DID_KEY_A, typ="JWT", signer=KEY_A.sign) == vectors.ROTATION_PROOF


def test_rfc8037_signature() -> None:
    """RFC 8037, appendix A.4: the EdDSA example verifies over its signing input."""
    key = resolve_did(encode_did(Curve.ED25519, decode_base64url("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")))
    signature = decode_base64url(
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    )
    jws.verify_signature(key, b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc", signature)


@pytest.mark.parametrize(("key", "signer", "algorithm"), SIGNERS)
def test_our_tokens_are_read_by_pyjwt(key: DidKey, signer: Callable[[bytes], bytes], algorithm: str) -> None:
    """Tokens of all three curves verify in PyJWT with the public key alone."""
    token = jws.sign(CLAIMS, key=key, typ="JWT", signer=signer)
    public: object
    match key.curve:
        case Curve.P256:
            public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key.public_key)
        case Curve.SECP256K1:
            public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), key.public_key)
        case Curve.ED25519:
            public = ED25519_KEY.public_key()
    options = {"verify_sub": False, "verify_exp": False}
    assert jwt.decode(token, public, algorithms=[algorithm], options=options) == CLAIMS  # type: ignore[arg-type]
    assert jwt.get_unverified_header(token) == {"alg": algorithm, "typ": "JWT", "kid": key.did}


@pytest.mark.parametrize(("key", "algorithm"), [(key, algorithm) for key, _, algorithm in SIGNERS])
def test_tokens_of_pyjwt_are_read(key: DidKey, algorithm: str) -> None:
    """Tokens that PyJWT signs verify here, ES256K with whichever s its library leaves."""
    private: object
    match key.curve:
        case Curve.P256:
            private = ec.derive_private_key(int.from_bytes(vectors.P256_SECRET_A, "big"), ec.SECP256R1())
        case Curve.SECP256K1:
            private = ec.derive_private_key(int.from_bytes(WALLET, "big"), ec.SECP256K1())
        case Curve.ED25519:
            private = ED25519_KEY
    for _ in range(8):
        token = jwt.encode(CLAIMS, private, algorithm=algorithm, headers={"kid": key.did})
        assert jws.verify(token, typ="JWT", curves=ALL).claims == CLAIMS


def test_the_newer_name_of_eddsa_is_read() -> None:
    """RFC 9864's name Ed25519 is accepted for the same curve."""
    header = {"alg": "Ed25519", "typ": "JWT", "kid": DID_KEY_ED25519.did}
    assert jws.verify(token_with(header, sign=ED25519_KEY.sign), typ="JWT", curves=ALL).algorithm == "Ed25519"


@pytest.mark.parametrize(("key", "signer"), [(key, signer) for key, signer, _ in SIGNERS[1:]])
def test_other_curves_are_opt_in(key: DidKey, signer: Callable[[bytes], bytes]) -> None:
    """By default only P-256 identities are accepted (AN-VER-2)."""
    token = jws.sign(CLAIMS, key=key, typ="JWT", signer=signer)
    with pytest.raises(UnacceptableAlgorithmError):
        jws.verify(token, typ="JWT")


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "", "HS256", "HS512", "RS256", "PS256", "ES384", "ES512", "es256", "A128KW"]
)
def test_algorithms_outside_the_list_are_refused(algorithm: str) -> None:
    """none, HMAC, RSA and every other name are refused, whatever the signature is."""
    header = {**HEADER, "alg": algorithm}
    for signature in (KEY_A.sign, lambda message: b""):
        with pytest.raises(UnacceptableAlgorithmError):
            jws.verify(token_with(header, sign=signature), typ="JWT", curves=ALL)


def test_the_public_key_is_not_an_hmac_secret() -> None:
    """The classic confusion: a token MACed with the public key is refused."""
    token = jwt.encode(CLAIMS, vectors.P256_PUBLIC_A, algorithm="HS256", headers={"kid": vectors.DID_A})
    with pytest.raises(UnacceptableAlgorithmError):
        jws.verify(token, typ="JWT", curves=ALL)


@pytest.mark.parametrize("key", [key for key, _, _ in SIGNERS])
@pytest.mark.parametrize("algorithm", list(jws.Algorithm))
def test_the_algorithm_follows_the_curve(key: DidKey, algorithm: jws.Algorithm) -> None:
    """An algorithm of another curve than the kid's is refused before any signature is looked at."""
    if algorithm in jws._ALGORITHMS_OF[key.curve]:
        return
    token = token_with({"alg": algorithm.value, "typ": "JWT", "kid": key.did})
    with pytest.raises(UnacceptableAlgorithmError):
        jws.verify(token, typ="JWT", curves=ALL)


def test_every_altered_signature_byte_is_noticed() -> None:
    """No altered byte of the signature verifies, for any curve."""
    for key, signer, _ in SIGNERS:
        message, _, text = jws.sign(CLAIMS, key=key, typ="JWT", signer=signer).rpartition(".")
        signature = decode_base64url(text)
        for position in range(64):
            altered = bytearray(signature)
            altered[position] ^= 0x01
            with pytest.raises(InvalidSignatureError):
                jws.verify(f"{message}.{encode_base64url(bytes(altered))}", typ="JWT", curves=ALL)


@FEW
@given(st.data())
def test_every_altered_character_is_noticed(data: st.DataObject) -> None:
    """No altered character anywhere in a token verifies."""
    token = vectors.ROTATION_PROOF
    position = data.draw(st.integers(0, len(token) - 1))
    character = data.draw(st.sampled_from("ABab01-_.=+/ \n"))
    altered = token[:position] + character + token[position + 1 :]
    if altered != token:
        with pytest.raises(CryptoError):
            jws.verify(altered, typ="JWT", curves=ALL)


def test_a_signature_by_another_key_is_refused() -> None:
    """A token naming somebody else's DID does not verify, and our own signer cannot produce it."""
    token = token_with({**HEADER, "kid": vectors.DID_B})
    with pytest.raises(InvalidSignatureError):
        jws.verify(token, typ="JWT")
    with pytest.raises(InvalidSignatureError):
        jws.sign(CLAIMS, key=resolve_did(vectors.DID_B), typ="JWT", signer=KEY_A.sign)


def test_kid_with_fragment_verifies() -> None:
    """Both fragment styles are read; the signer is reported by its bare DID."""
    for fragment in ("#key-1", f"#{vectors.DID_A[8:]}"):
        assert jws.verify(token_with({**HEADER, "kid": vectors.DID_A + fragment}), typ="JWT").signer == DID_KEY_A
    with pytest.raises(InvalidTokenError):
        jws.verify(token_with({**HEADER, "kid": vectors.DID_A + "#key-2"}), typ="JWT")


@pytest.mark.parametrize("member", sorted(jws._REFUSED_MEMBERS))
def test_header_members_that_bring_keys_or_extensions_are_refused(member: str) -> None:
    """crit, jwk, jku, x5c, x5u and their like are refused even when the signature is right (AN-VER-3)."""
    with pytest.raises(InvalidTokenError, match="not accepted"):
        jws.verify(token_with({**HEADER, member: ["x"]}), typ="JWT")


def test_unknown_header_members_are_ignored() -> None:
    """Members without such a meaning are ignored, as RFC 7515, section 4, requires."""
    assert jws.verify(token_with({**HEADER, "x-note": 1}), typ="JWT").claims == {}


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT", "kid": vectors.DID_A},
        {"alg": "ES256", "typ": "JWT"},
        {"alg": "ES256", "kid": vectors.DID_A},
        {**HEADER, "typ": "agent+jwt"},
        {**HEADER, "alg": None},
        {**HEADER, "alg": ["ES256"]},
        {**HEADER, "kid": 5},
        {**HEADER, "kid": "key-1"},
        {**HEADER, "kid": "did:web:example.com"},
        [],
        b"not json",
        b'{"alg":"ES256","typ":"JWT","alg":"ES256","kid":"' + vectors.DID_A.encode() + b'"}',
    ],
)
def test_bad_headers_are_refused(header: object) -> None:
    """Missing, mistyped or repeated members, another type, and kids that are no did:key are refused."""
    with pytest.raises(InvalidTokenError):
        jws.verify(token_with(header), typ="JWT")


@pytest.mark.parametrize("payload", [b"", b"[]", b"text", b'{"a":1,"a":2}', b'{"a":NaN}', b"\xff"])
def test_bad_payloads_are_refused(payload: bytes) -> None:
    """The payload is one JSON object without repeated members."""
    with pytest.raises(InvalidTokenError):
        jws.verify(token_with(HEADER, payload), typ="JWT")


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b",
        vectors.ROTATION_PROOF + ".",
        "." + vectors.ROTATION_PROOF,
        vectors.ROTATION_PROOF + "=",
        vectors.ROTATION_PROOF + "A",
        vectors.ROTATION_PROOF[:-1],
        vectors.ROTATION_PROOF[:-1] + "x",  # the same 64 bytes with stray bits in the last character
        " " + vectors.ROTATION_PROOF,
        vectors.ROTATION_PROOF + "\n",
        vectors.ROTATION_PROOF.replace(".", "..", 1),
        vectors.ROTATION_PROOF.rpartition(".")[0] + ".",
        "é" + vectors.ROTATION_PROOF[1:],
        "A" * (jws.MAX_TOKEN_BYTES + 1),
    ],
)
def test_malformed_tokens_are_refused(token: str) -> None:
    """Three canonical base64url parts, at most 8 KiB; everything else is an error, never a crash."""
    with pytest.raises((InvalidTokenError, InvalidSignatureError)):
        jws.verify(token, typ="JWT", curves=ALL)


def test_long_tokens_are_refused() -> None:
    """A token of 8192 characters is read, a longer one is refused although its signature is right."""
    limit = jws.MAX_TOKEN_BYTES
    fixed = len(token_with(HEADER, b""))
    for size_bytes in range((limit - fixed) * 3 // 4 - 4, (limit - fixed) * 3 // 4 + 4):
        token = token_with(HEADER, b'{"a":"' + b"x" * (size_bytes - 8) + b'"}')
        if len(token) <= limit:
            jws.verify(token, typ="JWT")
        else:
            with pytest.raises(InvalidTokenError, match="too long"):
                jws.verify(token, typ="JWT")


def test_type_is_compared_without_case() -> None:
    """RFC 7515, section 4.1.9: media types ignore case."""
    assert jws.verify(token_with({**HEADER, "typ": "jwt"}), typ="JWT").typ == "JWT"


def test_custody_signs_in_two_steps() -> None:
    """Signing input and assembly give what signing in one step gives; a signature of another length is refused."""
    message = jws.signing_input(jws.Algorithm.ES256, CLAIMS, typ="JWT", kid=vectors.DID_A)
    assert jws.assemble(message, KEY_A.sign(message)) == jws.sign(CLAIMS, key=DID_KEY_A, typ="JWT", signer=KEY_A.sign)
    for length in (0, 63, 65, 70):
        with pytest.raises(InvalidSignatureError):
            jws.assemble(message, bytes(length))
