"""Identities of other hosts, as far as their published answers prove them: what a verifier uses that has no journal of theirs.

    identities = CheckedIdentities(clock)
    identities.learn(document, revocations=revocations)      # bytes of /.well-known/anima/identity and …/revocations
    verifier = TokenVerifier(audience="my-service", identities=identities, replay=…, clock=clock)

What was learned counts for five minutes; then the identity is unknown again, and its tokens are refused until it is fetched anew
(anima.md §15.4). Somebody who revokes a key is therefore believed within five minutes here, and at once on its own host.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from life.aios.ports.clock import Clock
from life.aios.record import parse_timestamp
from life.anima.document import AgentIdentityDocument, check_document
from life.anima.errors import DocumentRefusedError
from life.anima.key_history import KeyHistory
from life.anima.registry import KeyState, Standing
from life.anima.well_known import ReadRevocations, read_revocations

KEPT_US: Final = 300 * 1_000_000
MAX_IDENTITIES: Final = 10_000


class _Learned(NamedTuple):
    document: AgentIdentityDocument
    told: ReadRevocations
    keys: KeyHistory
    until_us: int


class CheckedIdentities:
    """The Identities of a verifier, from documents."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_did: dict[str, _Learned] = {}

    def learn(
        self, document: bytes, *, revocations: bytes, publishers: Collection[str] | None = None
    ) -> AgentIdentityDocument:
        """Believe an identity for five minutes; DocumentRefusedError when its answers do not hold.

        `publishers` are the DIDs whose revocations answer is believed. Without them it is the identity's own, which is as good
        as the connection that brought it: whoever has stolen the key could leave a revocation out.
        """
        now_s = self._clock.now_us() // 1_000_000
        checked = check_document(document, now_s=now_s)
        about = checked.document
        dids = (checked.root_did, *(link.new_did for link in about.rotation_chain))
        controller = () if about.controller_did is None else (about.controller_did,)
        told = read_revocations(revocations, did=about.did, authorities=(*dids, *controller), now_s=now_s)
        if told.publisher not in ((about.did,) if publishers is None else publishers):
            raise DocumentRefusedError("The revocations are by a publisher that is not believed.")
        if told.answer.as_of_seq < about.published_at_seq:
            raise DocumentRefusedError("The revocations are older than the document.")
        known = self._by_did.get(about.did)
        if known is not None and told.answer.as_of_seq < known.told.answer.as_of_seq:
            raise DocumentRefusedError("The answers are older than those that were learned before.")
        keys = KeyHistory(
            root_did=checked.root_did,
            current_did=about.did,
            links=about.rotation_chain,
            revocations=told.answer.revocations,
            sessions_not_before_s=told.answer.sessions_not_before_s,
            controller_did=about.controller_did,
        )
        learned = _Learned(about, told, keys, self._clock.monotonic_us() + KEPT_US)
        if len(self._by_did) >= MAX_IDENTITIES:
            self._by_did.clear()
        self._by_did.update(dict.fromkeys(dids, learned))
        return about

    def forget(self, did: str) -> None:
        """Believe nothing about an identity any more."""
        known = self._by_did.pop(did, None)
        for other in () if known is None else known.keys.dids:
            self._by_did.pop(other, None)

    def standing(self, did: str) -> Standing | None:
        """What is known of a DID now, or None."""
        learned = self._by_did.get(did)
        if learned is None or self._clock.monotonic_us() >= learned.until_us:
            return None
        keys, link = learned.keys, learned.keys.link_from(did)
        dead = keys.is_dead or learned.told.answer.seq is not None
        key_state: KeyState = "current" if link is None else "superseded"
        if dead or keys.revocation_of(did) is not None:
            key_state = "revoked"
        lifecycle = learned.document.lifecycle
        return Standing(
            did=did,
            agent_id=learned.document.agent_id,
            root_did=keys.root_did,
            current_did=keys.current_did,
            key_state=key_state,
            superseded_at_us=None if link is None else parse_timestamp(link.rotated_at),
            lifecycle="active" if lifecycle == "active" else "expired",
            expires_at_us=None,
            dead=dead,
            sessions_not_before_s=keys.sessions_not_before_s,
            keys=keys,
            parent_agent_id=None,
            delegated_until_s=None,
            wallet_frozen=False,
            as_of_seq=learned.told.answer.as_of_seq,
        )

    def is_suspended(self, standing: Standing, at_us: int) -> bool:
        """Whether its controller is known here and not active. A controller that is not known says nothing."""
        controller = None if standing.keys.controller_did is None else self.standing(standing.keys.controller_did)
        return controller is not None and not controller.is_active(at_us)

    def require_fresh(self) -> None:
        """What is too old is unknown already."""
