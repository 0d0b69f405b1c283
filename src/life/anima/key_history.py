"""The keys of one identity through time: its chain, its revocations, and who may say something about them.

A pure value. Each `with_…` gives the history after one more event of the identity's stream, or raises a
RotationRefusedError or StatementRefusedError when the event proves nothing; the fold then counts a violation.
"""

from __future__ import annotations

import msgspec

from life.aios.record import parse_timestamp
from life.anima.chain import MAX_LINKS, RotationLink, dids_of, verify_chain, verify_link
from life.anima.errors import RotationRefusedError, StatementRefusedError
from life.anima.events import CapabilityTokenRevoked, IdentityRevoked, IdentityRotated, SessionsRevoked
from life.anima.revocation import (
    Revocation,
    read_capability_revocation,
    read_revocation,
    read_sessions_revocation,
)


class RevokedCapability(msgspec.Struct, frozen=True, kw_only=True):
    """A capability token that its issuer took back."""

    issuer_did: str
    jti: str


class KeyHistory(msgspec.Struct, frozen=True, kw_only=True):
    """Every DID an identity had, and what became of them."""

    root_did: str
    current_did: str
    links: tuple[RotationLink, ...] = ()
    revocations: tuple[Revocation, ...] = ()
    sessions_not_before_s: int = 0
    revoked_capabilities: tuple[RevokedCapability, ...] = ()
    controller_did: str | None = None
    """The parent that delegated, if one did."""
    operators: tuple[str, ...] = ()
    """DIDs that the soul or the host gives a say."""
    conflicting_rotation: bool = False
    """A second successor was named for a key: somebody else may hold it (AN-ROT-3)."""

    @property
    def dids(self) -> tuple[str, ...]:
        """Every DID, oldest first."""
        return dids_of(self.links, start=self.root_did)

    @property
    def is_dead(self) -> bool:
        """Whether the current DID is not to be believed any more (AN-REV-2)."""
        return any(self._ends_the_chain(revocation) for revocation in self.revocations)

    def revocation_of(self, did: str) -> Revocation | None:
        """The first revocation of a DID."""
        return next((revocation for revocation in self.revocations if revocation.did == did), None)

    def compromised_since(self, did: str) -> int | None:
        """The earliest sequence since when signatures of `did` are doubtful; None when none is (AN-REV-3)."""
        since = [
            revocation.seq if revocation.compromised_since_seq is None else revocation.compromised_since_seq
            for revocation in self.revocations
            if revocation.did == did
        ]
        return min(since, default=None)

    def link_from(self, did: str) -> RotationLink | None:
        """The rotation that replaced `did`."""
        return next((link for link in self.links if link.old_did == did), None)

    def key_at(self, seq: int) -> str:
        """The DID that signed for the identity at a sequence of its stream: the old one before a link (AN-ROT-5)."""
        did = self.root_did
        for link in self.links:
            if seq < link.rotated_at_seq:
                break
            did = link.new_did
        return did

    def authorities_over(self, did: str) -> tuple[str, ...]:
        """Who may revoke `did`: itself, its successors, the controller and the operators (AN-REV-1)."""
        dids = self.dids
        later = dids[dids.index(did) :] if did in dids else ()
        controller = () if self.controller_did is None else (self.controller_did,)
        return (*later, *controller, *self.operators)

    def with_rotation(self, event: IdentityRotated, *, seq: int) -> KeyHistory:
        """After a rotation of the current key. RotationRefusedError when it is none, or proves nothing.

        The first valid successor of a key is the only one; a valid proof for another is remembered as a conflict.
        """
        link = RotationLink(
            old_did=event.old_did,
            new_did=event.new_did,
            rotation_proof_jws=event.rotation_proof_jws,
            new_key_proof=event.new_key_proof or "",
            rotated_at=event.rotated_at,
            rotated_at_seq=seq,
        )
        if event.old_did != self.current_did:
            raise RotationRefusedError("The rotation is not one of the current key.")
        if self.is_dead:
            raise RotationRefusedError("A revoked identity does not rotate its key.")
        if event.new_did == self.root_did or any(known.new_did == event.new_did for known in self.links):
            raise RotationRefusedError("A chain does not come back to a key it had.")
        if len(self.links) >= MAX_LINKS:
            raise RotationRefusedError(f"A chain has at most {MAX_LINKS} rotations.")
        verify_link(link, previous_did=self.links[-1].old_did if self.links else None)
        return msgspec.structs.replace(self, current_did=event.new_did, links=(*self.links, link))

    def conflicts_with(self, event: IdentityRotated) -> bool:
        """Whether this is a valid proof for a second successor of a replaced key: two people hold it (AN-ROT-3)."""
        link = self.link_from(event.old_did)
        if link is None or link.new_did == event.new_did:
            return False
        rival = msgspec.structs.replace(
            link,
            new_did=event.new_did,
            rotation_proof_jws=event.rotation_proof_jws,
            new_key_proof=event.new_key_proof or "",
            rotated_at=event.rotated_at,
        )
        try:
            verify_link(rival)
        except RotationRefusedError:
            return False
        return True

    def with_revocation(self, event: IdentityRevoked, *, seq: int) -> KeyHistory:
        """After a revocation of one of the DIDs. StatementRefusedError when no authority signed it."""
        if event.did not in self.dids:
            raise StatementRefusedError("The revocation is of another identity.")
        authorities = self.authorities_over(event.did)
        if event.authority_chain and self.controller_did is not None:
            try:
                authorities = (*authorities, verify_chain(event.authority_chain, start=self.controller_did))
            except RotationRefusedError as error:
                raise StatementRefusedError(f"The authority's chain does not hold: {error.message}") from None
        revocation = read_revocation(event.revocation_jws, did=event.did, authorities=authorities, seq=seq)
        if any(known.revocation_jws == revocation.revocation_jws for known in self.revocations):
            return self
        return msgspec.structs.replace(self, revocations=(*self.revocations, revocation))

    def with_sessions_revoked(self, event: SessionsRevoked) -> KeyHistory:
        """After the sessions before a moment were ended."""
        if event.did not in self.dids:
            raise StatementRefusedError("The sessions are those of another identity.")
        not_before_s = read_sessions_revocation(
            event.revocation_jws, did=event.did, authorities=self._living_authorities()
        )
        try:
            stated_s = parse_timestamp(event.not_before) // 1_000_000
        except (ValueError, OverflowError):
            raise StatementRefusedError("The moment is not an RFC 3339 time.") from None
        if stated_s != not_before_s:
            raise StatementRefusedError("The event names another moment than its proof.")
        return msgspec.structs.replace(self, sessions_not_before_s=max(self.sessions_not_before_s, not_before_s))

    def with_capability_revoked(self, event: CapabilityTokenRevoked) -> KeyHistory:
        """After a capability token was taken back."""
        if event.issuer_did not in self.dids:
            raise StatementRefusedError("The capability token is by another identity.")
        read_capability_revocation(
            event.revocation_jws, did=event.issuer_did, jti=event.jti, authorities=self._living_authorities()
        )
        revoked = RevokedCapability(issuer_did=event.issuer_did, jti=event.jti)
        if revoked in self.revoked_capabilities:
            return self
        return msgspec.structs.replace(self, revoked_capabilities=(*self.revoked_capabilities, revoked))

    def _living_authorities(self) -> tuple[str, ...]:
        """The current key, the controller and the operators: a replaced key has no say over sessions and permits."""
        return self.authorities_over(self.current_did)

    def _ends_the_chain(self, revocation: Revocation) -> bool:
        if revocation.did == self.current_did:
            return True
        since, link = revocation.compromised_since_seq, self.link_from(revocation.did)
        return (
            since is not None
            and link is not None
            and since <= link.rotated_at_seq
            and revocation.authority != revocation.did
        )
