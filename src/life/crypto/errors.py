"""Errors of the primitives.

The primitives stand below the contract and know nothing of its error tree, so these are plain ``ValueError``
subclasses. Each leaf carries a stable dotted ``code``; subsystems translate it into their own errors. Messages never
contain key bytes, passphrases, plaintexts or tokens.
"""

from typing import ClassVar


class CryptoError(ValueError):
    """Root of the errors raised by ``life.crypto``."""

    code: ClassVar[str] = "crypto.error"


class InvalidKeyError(CryptoError):
    """A private or public key has the wrong length, is out of range, or is not a point of its curve."""

    code: ClassVar[str] = "crypto.invalid_key"


class InvalidDigestError(CryptoError):
    """A value that must be a 32-byte digest is not."""

    code: ClassVar[str] = "crypto.invalid_digest"


class InvalidSignatureError(CryptoError):
    """A signature is malformed, malleable where that is refused, or does not verify."""

    code: ClassVar[str] = "crypto.invalid_signature"


class InvalidEncodingError(CryptoError):
    """Text or bytes are not the canonical form of their encoding (base58, base64url, JSON)."""

    code: ClassVar[str] = "crypto.invalid_encoding"


class InvalidRlpError(InvalidEncodingError):
    """Bytes are not canonical RLP."""

    code: ClassVar[str] = "crypto.invalid_rlp"


class NotCanonicalizableError(InvalidEncodingError):
    """A value has no RFC 8785 form (NaN, an integer beyond 2**53 - 1, a key that is not text …)."""

    code: ClassVar[str] = "crypto.not_canonicalizable"


class InvalidDidError(CryptoError):
    """A DID is not a canonical ``did:key`` of a curve known here."""

    code: ClassVar[str] = "crypto.invalid_did"


class InvalidAddressError(CryptoError):
    """An EVM address has the wrong shape or a wrong EIP-55 checksum."""

    code: ClassVar[str] = "crypto.invalid_address"


class InvalidTypedDataError(CryptoError):
    """EIP-712 types or values are malformed or do not fit each other."""

    code: ClassVar[str] = "crypto.invalid_typed_data"


class InvalidAuthorizationError(CryptoError):
    """A field of an EIP-3009 authorization is out of range."""

    code: ClassVar[str] = "crypto.invalid_authorization"


class InvalidTransactionError(CryptoError):
    """An EIP-1559 transaction is malformed or out of range."""

    code: ClassVar[str] = "crypto.invalid_transaction"


class InvalidTokenError(CryptoError):
    """A signed token is malformed or says something it may not say."""

    code: ClassVar[str] = "crypto.invalid_token"


class UnacceptableAlgorithmError(InvalidTokenError):
    """The token's algorithm is not on the allow-list or does not belong to the curve of the signer's DID."""

    code: ClassVar[str] = "crypto.unacceptable_algorithm"


class ExpiredTokenError(InvalidTokenError):
    """The token's lifetime is over."""

    code: ClassVar[str] = "crypto.expired_token"


class WrongAudienceError(InvalidTokenError):
    """The token was made for somebody else."""

    code: ClassVar[str] = "crypto.wrong_audience"


class DecryptionError(CryptoError):
    """A sealed text does not open: wrong key, wrong associated data, or altered bytes (which one is not knowable)."""

    code: ClassVar[str] = "crypto.decryption_failed"


class InvalidParametersError(CryptoError):
    """Key-derivation or sealing parameters are outside the accepted bounds."""

    code: ClassVar[str] = "crypto.invalid_parameters"
