"""Generators and settings shared by the property tests of the primitives."""

from hypothesis import settings
from hypothesis import strategies as st

from life.crypto import p256, secp256k1

PROPERTY = settings(deadline=None, max_examples=60)
FEW = settings(deadline=None, max_examples=25)

digests = st.binary(min_size=32, max_size=32)
addresses = st.binary(min_size=20, max_size=20)
nonces = st.binary(min_size=32, max_size=32)
uint256 = st.one_of(st.integers(0, 10**9), st.integers(0, 2**256 - 1))
secp256k1_secrets = st.integers(1, secp256k1.ORDER - 1).map(lambda number: bytearray(number.to_bytes(32, "big")))
p256_secrets = st.integers(1, p256.ORDER - 1).map(lambda number: bytearray(number.to_bytes(32, "big")))
