"""The first events of an agent's journal (anima.md §8): soul, identity, activation.

An agent has a stream of its own, apart from its sessions. Its first event is `anima.soul_genesis`, then come
`anima.identity_created` and the step to `active`. Event ids and times follow from the soul, so writing them again, by
whatever process, changes nothing. `ensure_genesis` also compares: a journal that tells of another soul, DID or wallet than
the identity folder keeps the daemon from starting.
"""

from __future__ import annotations

from typing import Final

from life.aios.errors import SequenceConflictError
from life.aios.events import encode_kind
from life.aios.ids import derived_event_id
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import NewEvent, Stream, parse_timestamp
from life.anima.chain import RotationLink, dids_of
from life.anima.errors import IdentityMismatchError
from life.anima.events import (
    AnimaEvent,
    IdentityCreated,
    IdentityRotated,
    IdentityTransitioned,
    SoulGenesis,
    event_name,
    to_kind,
)
from life.anima.identity import check_agent_id
from life.anima.identity_file import Identity
from life.anima.state import AnimaState, replay, require_sound

LOCAL_HOST: Final = "local"
STREAM_PREFIX: Final = "identity-"
"""What the session id of an agent's own stream begins with."""
_PAGE: Final = 500


def agent_stream(agent_id: str) -> Stream:
    """Where the events of an agent's identity stand."""
    return Stream(STREAM_PREFIX + check_agent_id(agent_id))


def genesis_events(identity: Identity, *, host_id: str = LOCAL_HOST) -> list[NewEvent]:
    """The events of an identity, soul first, then its rotations; the same for the same identity and host, whoever makes them."""
    check_agent_id(host_id, what="host id")
    return _birth_events(identity, host_id) + rotation_events(identity)


def rotation_events(identity: Identity) -> list[NewEvent]:
    """The rotations in an identity's file as events, with the ids that they got when they happened."""
    return [rotation_event(link, agent_id=identity.agent_id) for link in identity.rotations]


def rotation_event(link: RotationLink, *, agent_id: str) -> NewEvent:
    """A rotation as an event of the agent's stream.

    Its id follows from the old DID alone, and the journal stores an id once: a key has one successor, whoever writes it
    (AN-ROT-3).
    """
    payload = IdentityRotated(
        old_did=link.old_did,
        new_did=link.new_did,
        rotation_proof_jws=link.rotation_proof_jws,
        new_key_proof=link.new_key_proof,
        rotated_at=link.rotated_at,
    )
    return identity_event(
        payload,
        event_id=derived_event_id(event_name(payload), link.old_did),
        agent_id=agent_id,
        timestamp_us=parse_timestamp(link.rotated_at),
    )


def identity_event(payload: AnimaEvent, *, event_id: str, agent_id: str, timestamp_us: int) -> NewEvent:
    """A payload as an event of the agent's own stream."""
    kind = to_kind(payload)
    stream = agent_stream(agent_id)
    return NewEvent(
        event_id=event_id,
        session_id=stream.session_id,
        branch_id=stream.branch_id,
        agent_id=agent_id,
        timestamp_us=timestamp_us,
        payload=encode_kind(kind),
        kind_name=type(kind).__name__,
    )


def _birth_events(identity: Identity, host_id: str) -> list[NewEvent]:
    payloads: tuple[AnimaEvent, ...] = (
        SoulGenesis(soul=identity.soul, soul_hash=identity.soul_hash),
        IdentityCreated(
            agent_id=identity.agent_id,
            host_id=host_id,
            auth_public_key_hex=identity.soul.root_public_key,
            wallet_address=identity.wallet,
            did=identity.root_did,
        ),
        IdentityTransitioned(agent_id=identity.agent_id, from_="pending", to="active", reason="keys verified"),
    )
    return [_event(identity, payload) for payload in payloads]


async def ensure_genesis(journal: Journal, identity: Identity, *, host_id: str = LOCAL_HOST) -> AnimaState:
    """Write the genesis if the agent's stream is empty, and return the folded stream either way.

    Safe to repeat, and for several processes at once. Errors of `require_sound` when the stream can't be believed;
    IdentityMismatchError when it is the history of another soul, DID or wallet.
    """
    stream = agent_stream(identity.agent_id)
    if (await journal.head(stream)).sequence == 0:
        try:
            await journal.append(genesis_events(identity, host_id=host_id), expected={stream: 0})
        except SequenceConflictError:
            pass  # another process was faster; what it wrote is judged below
    state = await load_state(journal, identity.agent_id)
    soul, current = require_sound(state)
    if current.did != identity.did and current.did in _dids(identity):
        # The file knows rotations that this journal does not: it was brought from where the key was rotated.
        await journal.append(rotation_events(identity))
        state = await load_state(journal, identity.agent_id)
        soul, current = require_sound(state)
    if soul.soul_hash != identity.soul_hash:
        raise _other_history(identity, "soul")
    if current.did != identity.did:
        raise _other_history(identity, "DID")
    if current.wallet_address != identity.wallet:
        raise _other_history(identity, "wallet")
    return state


async def load_state(journal: Journal, agent_id: str, *, operators: tuple[str, ...] = ()) -> AnimaState:
    """The agent's stream, folded from its start. `operators` are the DIDs that the host's policy gives a say (AN-REV-1)."""
    state, after = AnimaState(operators=operators), 0
    stream = agent_stream(agent_id)
    while True:
        page = await journal.read(
            EventQuery(session_id=stream.session_id, branch_id=stream.branch_id, after_sequence=after), limit=_PAGE
        )
        state = replay(page, state)
        if len(page) < _PAGE:
            return state
        after = page[-1].sequence


def _event(identity: Identity, payload: AnimaEvent) -> NewEvent:
    encoded = encode_kind(to_kind(payload)).decode()
    return identity_event(
        payload,
        event_id=derived_event_id(event_name(payload), identity.agent_id, encoded),
        agent_id=identity.agent_id,
        timestamp_us=parse_timestamp(identity.soul.origin.created_at),
    )


def _dids(identity: Identity) -> tuple[str, ...]:
    return dids_of(identity.rotations, start=identity.root_did)


def _other_history(identity: Identity, what: str) -> IdentityMismatchError:
    return IdentityMismatchError(
        f"The journal tells of another {what} for this agent than {identity.folder}.",
        next_step="Use the data folder that belongs to this identity, or restore soul.json from a backup.",
    )
