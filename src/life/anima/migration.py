"""Migration: the same keys in another backend (L4-D9; AN-MIG-1).

The attestation is a JWS by the current key over both backends and the public keys before and after:

    {iss: DID, sub: DID, type: "anima.custody_migration", from_backend, to_backend,
     did_before, did_after, wallet_before, wallet_after, iat}

"Keys unchanged" is shown only when they are. Keys that can't move are not migrated: that is a rotation, a change of the
wallet, or both, and each has its own event.
"""

from __future__ import annotations

from typing import Final

from life.aios.errors import InvalidInputError
from life.aios.json import JsonObject
from life.aios.ports.clock import Clock
from life.aios.ports.custody import BackendKind, Custody
from life.aios.record import format_timestamp
from life.anima.errors import StatementRefusedError
from life.anima.events import CustodyMigrated
from life.anima.statements import read_statement

MIGRATION_TYPE: Final = "anima.custody_migration"


async def propose_migration(old: Custody, new: Custody, *, clock: Clock) -> CustodyMigrated:
    """The event of a migration from the handle `old` to `new`, signed by `new`: it proves that the key arrived.

    InvalidInputError when the two handles do not hold the same keys.
    """
    before, after = old.capabilities(), new.capabilities()
    if before.did is None or (before.did, before.wallet_address) != (after.did, after.wallet_address):
        raise InvalidInputError(
            "The two backends hold different keys.", next_step="Rotate the identity and change its wallet instead."
        )
    now_us = clock.now_us()
    claims = _claims(before.did, before.wallet_address, before.backend, after.backend)
    return CustodyMigrated(
        from_backend=before.backend,
        to_backend=after.backend,
        migrated_at=format_timestamp(now_us),
        attestation=await new.sign_token({**claims, "iat": now_us // 1_000_000}),
    )


def verify_migration(event: CustodyMigrated, *, did: str, wallet_address: str) -> None:
    """StatementRefusedError unless the current key says that these very keys moved."""
    expected = _claims(did, wallet_address, event.from_backend, event.to_backend)
    statement = read_statement(event.attestation, kind=MIGRATION_TYPE, expected=expected)
    if statement.issuer != did:
        raise StatementRefusedError("The migration is not signed by the identity's current key.")


def _claims(did: str, wallet: str | None, from_backend: BackendKind, to_backend: BackendKind) -> JsonObject:
    return {
        "iss": did,
        "sub": did,
        "type": MIGRATION_TYPE,
        "from_backend": from_backend,
        "to_backend": to_backend,
        "did_before": did,
        "did_after": did,
        "wallet_before": wallet,
        "wallet_after": wallet,
    }
