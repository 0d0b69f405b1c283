"""A change of the wallet: its own event, because rotating the auth key leaves the wallet as it is and money has to move (AN-ROT-6).

The old wallet signs an EIP-191 personal message that names both addresses and the identity; the auth key signs the same
facts as a JWS of the type `anima.wallet_change`. Both must hold, so neither a stolen auth key nor a stolen wallet key alone
redirects what an agent is paid.
"""

from __future__ import annotations

from typing import Final

from life.aios.json import JsonObject
from life.aios.ports.clock import Clock
from life.aios.ports.custody import Custody
from life.aios.record import format_timestamp
from life.anima.errors import StatementRefusedError, UnsupportedOperationError
from life.anima.events import WalletChanged
from life.anima.identity import WalletAddress, check_chain
from life.anima.statements import read_statement
from life.crypto.address import format_address, parse_address
from life.crypto.eip191 import personal_message_digest
from life.crypto.errors import CryptoError
from life.crypto.secp256k1 import recover_address

WALLET_CHANGE_TYPE: Final = "anima.wallet_change"


def change_message(did: str, *, old: WalletAddress, new: WalletAddress) -> bytes:
    """What the old wallet signs."""
    return (
        f"Life agent {did}\nreplaces its wallet {old.address} on {old.chain}\nby {new.address} on {new.chain}\n"
    ).encode()


async def propose_wallet_change(
    custody: Custody, *, old: WalletAddress, new: WalletAddress, clock: Clock
) -> WalletChanged:
    """The event of a wallet change, signed by the old wallet and the auth key that `custody` holds."""
    did = custody.capabilities().did
    if did is None:
        raise UnsupportedOperationError("This custody handle has no identity key.")
    check_chain(new.chain)
    now_us = clock.now_us()
    signature = await custody.sign_message(change_message(did, old=old, new=new))
    auth_jws = await custody.sign_token({**_claims(did, old, new), "iat": now_us // 1_000_000})
    event = WalletChanged(
        old_address=old.address,
        new_address=new.address,
        chain=new.chain,
        proof_eip191=signature.hex(),
        auth_jws=auth_jws,
        changed_at=format_timestamp(now_us),
    )
    verify_wallet_change(event, did=did, current=old)
    return event


def verify_wallet_change(event: WalletChanged, *, did: str, current: WalletAddress) -> WalletAddress:
    """The new wallet of the identity `did` whose wallet is `current`; StatementRefusedError unless both proofs hold."""
    new = WalletAddress(address=event.new_address, chain=event.chain)
    if event.old_address != current.address or event.new_address == current.address:
        raise StatementRefusedError("The change is not one of the identity's current wallet.")
    try:
        check_chain(event.chain)
        if format_address(parse_address(event.new_address)) != event.new_address:
            raise StatementRefusedError("The new wallet's address is malformed.")
        digest = personal_message_digest(change_message(did, old=current, new=new))
        signer = format_address(recover_address(digest, bytes.fromhex(event.proof_eip191)))
    except (CryptoError, ValueError):
        raise StatementRefusedError("The old wallet's signature does not hold.") from None
    if signer != current.address:
        raise StatementRefusedError("The change is not signed by the old wallet.")
    statement = read_statement(event.auth_jws, kind=WALLET_CHANGE_TYPE, expected=_claims(did, current, new))
    if statement.issuer != did:
        raise StatementRefusedError("The change is not signed by the identity's current key.")
    return new


def _claims(did: str, old: WalletAddress, new: WalletAddress) -> JsonObject:
    return {
        "iss": did,
        "sub": did,
        "type": WALLET_CHANGE_TYPE,
        "old_address": old.address,
        "old_chain": old.chain,
        "new_address": new.address,
        "new_chain": new.chain,
    }
