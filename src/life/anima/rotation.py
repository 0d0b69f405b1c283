"""Rotation: replacing the auth key in two phases, so that a crash anywhere leaves exactly one valid key (anima.md §15, AN-CUS-6).

    prepare   the backend makes a new key and keeps it; the old one still signs
    prove     the old key signs the proof, the new key that it agrees
    append    `anima.identity_rotated`, under an id that only one successor of a key can have: from here on the new key is valid
    commit    the backend switches, and the old key is destroyed or disabled

The journal decides. A process killed before the append has rotated nothing, and the key it prepared is thrown away; killed
after it, the switch is made up for by `settle_rotation`, which a host calls before it opens an identity. A person who refuses
to sign, a wrong PIN or a device that is gone end the rotation before the append, and the old key stays valid.

The wallet is not touched (AN-ROT-6). Two rotations of an identity lie at least an hour apart (AN-ROT-7) unless the caller
says otherwise.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final, Literal, NamedTuple, Protocol

from life.aios.errors import EventConflictError, JournalFullError, LifeError, MalformedEventError, SequenceConflictError
from life.aios.ports.clock import Clock
from life.aios.ports.custody import Custody
from life.aios.ports.journal import Journal
from life.aios.record import format_timestamp, parse_timestamp
from life.anima.chain import RotationLink, acceptance_claims, proof_claims, verify_link
from life.anima.errors import (
    IdentityRevokedError,
    RotationCoolingError,
    RotationIncompleteError,
    RotationRefusedError,
    StaleHandleError,
    UnsupportedOperationError,
)
from life.anima.genesis import agent_stream, load_state, rotation_event
from life.anima.key_history import KeyHistory
from life.anima.state import AnimaState, require_sound

COOL_DOWN_S: Final = 3600
_ATTEMPTS: Final = 8


class KeyRotator(Protocol):
    """How a backend replaces its auth key.

    From its making to `close` a rotator keeps every other one of the same identity out (ConflictError). Each method may be
    repeated, and leaves something whole behind when the process dies in it.
    """

    async def prepared(self) -> Custody | None:
        """The handle of a key that was made and is neither committed nor discarded; None when there is none."""
        ...

    async def prepare(self) -> Custody:
        """A handle of a new key, stored where a crash does not lose it. The wallet stays what it is."""
        ...

    async def commit(self, links: tuple[RotationLink, ...]) -> None:
        """Make the prepared key the active one and the old one unusable. `links` is the whole chain up to it."""
        ...

    async def discard(self) -> None:
        """Destroy the prepared key, if there is one. The active key stays."""
        ...

    async def close(self) -> None:
        """Let the next rotator in, and wipe what was opened."""
        ...


class Rotation(NamedTuple):
    """A finished rotation."""

    link: RotationLink
    resumed: bool
    """True when an earlier, interrupted rotation was completed and no new one made."""


Settled = Literal["nothing", "completed", "discarded"]


async def rotate_identity(
    journal: Journal,
    rotator: KeyRotator,
    custody: Custody,
    *,
    agent_id: str,
    clock: Clock,
    cool_down_s: int = COOL_DOWN_S,
    operators: tuple[str, ...] = (),
) -> Rotation:
    """Replace the auth key that `custody` signs with by a new one. `operators` as for `load_state`.

    Refused before anything is made: IdentityRevokedError, StaleHandleError for a handle of another key,
    RotationCoolingError. What the old or the new key's backend refuses (UserRejectedError, CustodyAuthFailedError …) passes
    through, and nothing has changed. RotationRefusedError when another rotation was faster. RotationIncompleteError when
    the rotation stands in the journal and only the switch is missing: `settle_rotation` makes it.
    """
    state, keys = await _state(journal, agent_id, operators)
    did = custody.capabilities().did
    if did is not None and did not in keys.dids:  # before anything is thrown away
        raise StaleHandleError(
            "This handle's key is not one that the journal knows.", next_step="Open the identity again."
        )
    if await _settle(rotator, keys) == "completed":
        return Rotation(keys.links[-1], resumed=True)
    _check_allowed(keys, custody, clock, cool_down_s)
    prepared = await rotator.prepare()
    try:
        previous_did = keys.links[-1].old_did if keys.links else None
        link = await _prove(custody, prepared, clock, previous_did)
    except BaseException:  # a refusal, a cancelled call, anything: there is no rotation
        with suppress(LifeError):
            await asyncio.shield(rotator.discard())
        raise
    appended = await _append(journal, rotator, link, state, agent_id)
    try:
        await rotator.commit((*keys.links, appended))
    except LifeError as error:
        raise RotationIncompleteError(
            f"The key was rotated to {appended.new_did}, but its backend did not switch: {error.message}",
            next_step="Start again; the switch is made up for when the identity is opened.",
        ) from error
    return Rotation(appended, resumed=False)


async def settle_rotation(
    journal: Journal, rotator: KeyRotator, *, agent_id: str, published: tuple[RotationLink, ...] = ()
) -> Settled:
    """Finish what a killed rotation left: complete it when it counts, otherwise throw the prepared key away.

    It counts when the journal holds it, or when `published`, the verified chain in soul.json, ends with it: that is written only
    after the journal had it, and the journal may be another one by now. Where the journal knows nothing of the identity, the
    prepared key is left alone: it may be the only one that others believe.
    """
    if await rotator.prepared() is None:
        return "nothing"
    state = await load_state(journal, agent_id)
    return await _settle(rotator, state.keys, published)


async def _settle(rotator: KeyRotator, keys: KeyHistory | None, published: tuple[RotationLink, ...] = ()) -> Settled:
    prepared = await rotator.prepared()
    if prepared is None:
        return "nothing"
    for links in (published, () if keys is None else keys.links):
        if links and links[-1].new_did == prepared.capabilities().did:
            await rotator.commit(links)
            return "completed"
    if keys is None:
        return "nothing"
    await rotator.discard()
    return "discarded"


def _check_allowed(keys: KeyHistory, custody: Custody, clock: Clock, cool_down_s: int) -> None:
    did = custody.capabilities().did
    if did is None:
        raise UnsupportedOperationError("This custody handle has no identity key to rotate.")
    if keys.is_dead:
        raise IdentityRevokedError("The identity is revoked; its key is not rotated any more.")
    if did != keys.current_did:
        raise StaleHandleError("This handle's key was rotated away already.", next_step="Open the identity again.")
    if keys.links:
        ready_s = parse_timestamp(keys.links[-1].rotated_at) // 1_000_000 + cool_down_s
        wait_s = ready_s - clock.now_us() // 1_000_000
        if wait_s > 0:
            raise RotationCoolingError(
                f"The key was rotated a short while ago; the next rotation is possible in {wait_s} seconds.",
                details={"wait_s": wait_s},
            )


async def _prove(old: Custody, new: Custody, clock: Clock, previous_did: str | None) -> RotationLink:
    old_did, new_did = old.capabilities().did or "", new.capabilities().did or ""
    now_s = clock.now_us() // 1_000_000
    proof = await old.sign_token(proof_claims(old_did, new_did, now_s=now_s, previous_did=previous_did))
    acceptance = await new.sign_token(acceptance_claims(old_did, new_did, now_s=clock.now_us() // 1_000_000))
    link = RotationLink(
        old_did=old_did,
        new_did=new_did,
        rotation_proof_jws=proof,
        new_key_proof=acceptance,
        rotated_at=format_timestamp(clock.now_us()),
    )
    verify_link(link)  # what readers would refuse is not written
    return link


async def _append(
    journal: Journal, rotator: KeyRotator, link: RotationLink, state: AnimaState, agent_id: str
) -> RotationLink:
    """Write the rotation at the head that was judged. Whatever may have stored it leaves the prepared key alone."""
    event, stream = rotation_event(link, agent_id=agent_id), agent_stream(agent_id)
    head = await journal.head(stream)
    for _ in range(_ATTEMPTS):
        keys = (await load_state(journal, agent_id, operators=state.operators)).keys
        if keys is None or keys.current_did != link.old_did or keys.is_dead:
            break
        try:
            stored = await journal.append([event], expected={stream: head.sequence})
        except SequenceConflictError:
            head = await journal.head(stream)
            continue
        except EventConflictError:
            break  # the id is taken: this key has a successor
        except (MalformedEventError, JournalFullError):
            await rotator.discard()
            raise
        return RotationLink(
            old_did=link.old_did,
            new_did=link.new_did,
            rotation_proof_jws=link.rotation_proof_jws,
            new_key_proof=link.new_key_proof,
            rotated_at=link.rotated_at,
            rotated_at_seq=stored[0].sequence,
        )
    await rotator.discard()
    raise RotationRefusedError("The identity changed while its key was being rotated; nothing was written.")


async def _state(journal: Journal, agent_id: str, operators: tuple[str, ...]) -> tuple[AnimaState, KeyHistory]:
    state = await load_state(journal, agent_id, operators=operators)
    require_sound(state)
    assert state.keys is not None  # comes with the identity that was just required
    return state, state.keys
