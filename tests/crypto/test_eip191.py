"""Personal messages."""

from eth_account import Account
from eth_account.messages import encode_defunct
from hypothesis import given
from hypothesis import strategies as st

from life.crypto import secp256k1
from life.crypto.address import format_address
from life.crypto.eip191 import personal_message_digest
from tests.crypto import vectors
from tests.crypto.strategies import PROPERTY


def test_known_digest() -> None:
    """The digest of "Hello World" that web3's documentation of hashMessage gives."""
    assert personal_message_digest(b"Hello World").hex() == (
        "a1de988600a42c4b4ab089b619297c17d53cffae5d5120d82d8a92d0bb3b78f2"
    )


@PROPERTY
@given(st.binary(max_size=300))
def test_agrees_with_eth_account(message: bytes) -> None:
    """eth-account signs the same message to the same bytes and recovers the same signer."""
    signature = secp256k1.sign_recoverable(personal_message_digest(message), bytearray(vectors.DEV_SECRET_0))
    signed = Account.sign_message(encode_defunct(message), vectors.DEV_SECRET_0)
    assert signature == bytes(signed.signature)
    assert Account.recover_message(encode_defunct(message), signature=signature) == vectors.DEV_ADDRESS_0
    assert (
        format_address(secp256k1.recover_address(personal_message_digest(message), signature)) == vectors.DEV_ADDRESS_0
    )
