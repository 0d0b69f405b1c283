"""The error tree of the primitives."""

import life.crypto.errors as errors


def test_codes_are_stable_and_unique() -> None:
    """Each error is a ValueError with its own dotted code; the list changes only on purpose."""
    leaves = {
        name: value.code
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.CryptoError)
    }
    assert all(issubclass(getattr(errors, name), ValueError) for name in leaves)
    assert sorted(leaves.values()) == [
        "crypto.decryption_failed",
        "crypto.error",
        "crypto.expired_token",
        "crypto.invalid_address",
        "crypto.invalid_authorization",
        "crypto.invalid_did",
        "crypto.invalid_digest",
        "crypto.invalid_encoding",
        "crypto.invalid_key",
        "crypto.invalid_parameters",
        "crypto.invalid_rlp",
        "crypto.invalid_signature",
        "crypto.invalid_token",
        "crypto.invalid_transaction",
        "crypto.invalid_typed_data",
        "crypto.not_canonicalizable",
        "crypto.unacceptable_algorithm",
        "crypto.wrong_audience",
    ]
