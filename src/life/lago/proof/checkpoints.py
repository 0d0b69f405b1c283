"""Signed checkpoints: what a branch was at a moment, in a form that outlives the file.

The chain shows that a file is consistent, not that it is the one that was there yesterday: whoever may write it can compute every
digest anew. A checkpoint is a JWS by the agent's key, with typ `life-checkpoint+jwt`, that says how far a branch reached::

    iss, type "lago.checkpoint", iat
    session, branch, sequence, digest     the branch's head
    root                                  of the Merkle tree over the branch's digests (life.lago.proof.merkle)
    position, position_digest             the newest event of the whole journal, and its digest
    previous                              the digest of the checkpoint event before it; zeros for the first

It is kept as an event of the stream `lago.checkpoints`, with the tree's `peaks`, from which the next checkpoint goes on without
reading the branch again. `previous` ties all checkpoints into one signed chain, so one by a key that was replaced can't be slipped
in between later ones. Keep copies elsewhere: the newest checkpoints of a file can be cut off together with the events they cover.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable
from typing import Final, NamedTuple

import msgspec

from life.aios.errors import SequenceConflictError
from life.aios.events.codec import custom, encode_kind, read_custom
from life.aios.ids import new_id
from life.aios.json import JsonObject
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.custody import Custody
from life.aios.ports.journal import EventQuery, Head, Journal
from life.aios.record import EventRecord, NewEvent, Stream
from life.crypto import jws
from life.crypto.errors import CryptoError
from life.lago.errors import CheckpointRefusedError
from life.lago.journal import chain
from life.lago.proof.merkle import Frontier
from life.lago.proof.signing_keys import SigningKeys

TYP: Final = "life-checkpoint+jwt"
CHECKPOINT: Final = "lago.checkpoint"
CHECKPOINTS: Final = Stream("lago.checkpoints")
"""Where checkpoints are kept. It gets none itself: each of its events is signed."""

_PAGE: Final = 500
"""Events are read in small pages, and others get their turn between them: the job runs in a daemon's loop."""
_BATCH: Final = 200
_ATTEMPTS: Final = 5
_ZEROS: Final = chain.GENESIS.hex()


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A branch at a moment, signed. Digests are 64 hex digits."""

    session_id: str
    branch_id: str
    sequence: int
    digest: str
    root: str
    position: int
    position_digest: str
    previous: str
    signed_at_s: int
    peaks: tuple[str, ...]
    token: str

    @property
    def stream(self) -> Stream:
        """The branch it is of."""
        return Stream(self.session_id, self.branch_id)

    def __str__(self) -> str:
        return f"{self.session_id}/{self.branch_id} at sequence {self.sequence}"


class CheckpointPolicy(NamedTuple):
    """When a branch is due: so many events behind its last checkpoint, or one that is so old."""

    every_events: int = 1_000
    every_s: int = 3_600


class Checkpointer:
    """Takes checkpoints of a journal, as its policy says. One per journal is enough; a second one does no harm."""

    def __init__(
        self,
        journal: Journal,
        custody: Custody,
        *,
        clock: Clock,
        entropy: Entropy,
        agent_id: str,
        policy: CheckpointPolicy = CheckpointPolicy(),  # noqa: B008
    ) -> None:
        """`custody` must have an identity key."""
        did = custody.capabilities().did
        if did is None:
            raise CheckpointRefusedError("of this journal", "the custody handle has no identity key to sign with")
        self._journal = journal
        self._custody = custody
        self._did = did
        self._clock = clock
        self._entropy = entropy
        self._agent_id = agent_id
        self._policy = policy
        self._head = Head(0, _ZEROS)
        self._newest: dict[Stream, Checkpoint] = {}
        self._position, self._position_digest = 0, _ZEROS
        self._changed: set[Stream] | None = None

    async def take(self, *, only: Collection[Stream] | None = None, when_due: bool = True) -> list[Checkpoint]:
        """Checkpoints of the branches that are due, or with `when_due=False` of every branch that grew; of `only` these."""
        await self._catch_up()
        assert self._changed is not None
        wanted = self._changed if only is None else self._changed & set(only)
        due = [stream for stream in sorted(wanted) if not when_due or await self._is_due(stream)]
        taken: list[Checkpoint] = []
        for start in range(0, len(due), _BATCH):
            taken += await self._sign(due[start : start + _BATCH])
        return taken

    async def _catch_up(self) -> None:
        """Learn of checkpoints and events that came since the last look."""
        async for record in _records(self._journal, CHECKPOINTS, after=self._head.sequence):
            self._head = Head(record.sequence, str(record.digest))
            checkpoint = checkpoint_of(record)
            if checkpoint is not None:
                self._newest[checkpoint.stream] = checkpoint
                if self._changed is None:  # what came before was looked at when it was taken
                    self._position = max(self._position, checkpoint.position - 1)
        if self._changed is None:
            self._changed = {stream for stream in await self._journal.streams() if await self._grew(stream)}
        more = True
        while more:
            page = await self._journal.read(EventQuery(after_position=self._position), limit=_PAGE)
            more = len(page) == _PAGE
            self._changed |= {record.stream for record in page}
            await asyncio.sleep(0)
            if page:
                self._position, self._position_digest = page[-1].position, str(page[-1].digest)
        self._changed.discard(CHECKPOINTS)

    async def _grew(self, stream: Stream) -> bool:
        known = self._newest.get(stream)
        return known is None or (await self._journal.head(stream)).sequence > known.sequence

    async def _is_due(self, stream: Stream) -> bool:
        known = self._newest.get(stream)
        signed = 0 if known is None else known.sequence
        grown = (await self._journal.head(stream)).sequence - signed
        if grown >= self._policy.every_events:
            return True
        oldest = await self._journal.read(EventQuery(*stream, after_sequence=signed), limit=1)
        return bool(oldest) and self._clock.now_us() - oldest[0].timestamp_us >= self._policy.every_s * 1_000_000

    async def _sign(self, streams: list[Stream]) -> list[Checkpoint]:
        assert self._changed is not None
        for _ in range(_ATTEMPTS):
            taken: list[Checkpoint] = []
            events: list[NewEvent] = []
            head = self._head
            for stream in streams:
                checkpoint = await self._checkpoint(stream, previous=head.digest)
                if checkpoint is None:
                    continue
                taken.append(checkpoint)
                events.append(self._event(checkpoint))
                head = Head(head.sequence + 1, _digest_of(events[-1], head))
            try:
                await self._journal.append(events, expected={CHECKPOINTS: self._head.sequence})
            except SequenceConflictError:  # somebody else took some meanwhile
                await self._catch_up()
                continue
            self._head = head
            self._newest |= {checkpoint.stream: checkpoint for checkpoint in taken}
            self._changed -= set(streams)
            return taken
        return []

    async def _checkpoint(self, stream: Stream, *, previous: str) -> Checkpoint | None:
        """The checkpoint of a branch as it is now; None when there is nothing new."""
        known = self._newest.get(stream)
        frontier = Frontier()
        if known is not None:
            try:
                frontier = Frontier(known.sequence, [bytes.fromhex(peak) for peak in known.peaks])
            except ValueError:
                frontier = Frontier()
            if frontier.root().hex() != known.root:
                frontier = Frontier()
        digest = None
        async for record in _records(self._journal, stream, after=frontier.size):
            frontier.extend([bytes.fromhex(str(record.digest))])
            digest = str(record.digest)
        if digest is None:
            return None
        claims: JsonObject = {
            "iss": self._did,
            "type": CHECKPOINT,
            "session": stream.session_id,
            "branch": stream.branch_id,
            "sequence": frontier.size,
            "digest": digest,
            "root": frontier.root().hex(),
            "position": self._position,
            "position_digest": self._position_digest,
            "previous": previous,
            "iat": self._clock.now_us() // 1_000_000,
        }
        token = await self._custody.sign_token(claims, typ=TYP)
        return _from_claims(claims, token, tuple(peak.hex() for peak in frontier.peaks))

    def _event(self, checkpoint: Checkpoint) -> NewEvent:
        return NewEvent(
            event_id=new_id(self._clock, self._entropy),
            session_id=CHECKPOINTS.session_id,
            branch_id=CHECKPOINTS.branch_id,
            agent_id=self._agent_id,
            timestamp_us=self._clock.now_us(),
            payload=encode_kind(custom(CHECKPOINT, checkpoint)),
            kind_name="Custom",
        )


class CheckedCheckpoints(NamedTuple):
    """What the checkpoints of a journal prove."""

    checkpoints: int
    branches: int
    events_covered: int
    """Events that stand at or before the newest checkpoint of their branch."""


def checkpoint_of(record: EventRecord) -> Checkpoint | None:
    """The checkpoint in an event; None when it is another event."""
    return read_custom(record.kind, CHECKPOINT, Checkpoint)


def read_checkpoint(token: str, *, keys: SigningKeys | None, peaks: tuple[str, ...] = ()) -> tuple[Checkpoint, str]:
    """The checkpoint in a token whose signature holds, and its signer. With `keys`, only one whose signature counts at its time.

    CheckpointRefusedError otherwise.
    """
    try:
        verified = jws.verify(token, typ=TYP)
        checkpoint = _from_claims(verified.claims, token, peaks)
    except (CryptoError, KeyError, msgspec.ValidationError) as error:
        raise CheckpointRefusedError("in the token", f"it is not signed as it should be ({error})") from None
    signer = verified.signer.did
    if verified.claims.get("iss") != signer or verified.claims.get("type") != CHECKPOINT:
        raise CheckpointRefusedError(str(checkpoint), "its token says something else than a checkpoint by its signer")
    objection = None if keys is None else keys.objection(signer, checkpoint.signed_at_s * 1_000_000)
    if objection is not None:
        raise CheckpointRefusedError(str(checkpoint), objection)
    return checkpoint, signer


async def read_checkpoints(journal: Journal, *, session_id: str | None = None) -> list[tuple[EventRecord, Checkpoint]]:
    """All checkpoints (of one session) with their events, oldest first. Nothing is verified."""
    found = []
    async for record in _records(journal, CHECKPOINTS, after=0):
        checkpoint = checkpoint_of(record)
        if checkpoint is not None and session_id in (None, checkpoint.session_id):
            found.append((record, checkpoint))
    return found


async def verify_checkpoints(journal: Journal, keys: SigningKeys) -> CheckedCheckpoints:
    """Check every checkpoint in the journal against the keys, the other checkpoints, and the events.

    Of each: its event says what its token says; the signature holds and counts at its time; it follows the one before it, in time
    and in the order of keys; the branch has the digest and the Merkle root it says; the journal has its position's digest.
    CheckpointRefusedError at the first that does not hold. The chain itself is verified elsewhere.
    """
    by_stream: dict[Stream, list[Checkpoint]] = {}
    order = SigningOrder(keys)
    count = 0
    async for record in _records(journal, CHECKPOINTS, after=0):
        checkpoint = checkpoint_of(record)
        if checkpoint is None:
            raise CheckpointRefusedError(f"at sequence {record.sequence} of {CHECKPOINTS}", "it is no checkpoint")
        order.take(checkpoint, digest=str(record.digest))
        await _check_position(journal, checkpoint)
        by_stream.setdefault(checkpoint.stream, []).append(checkpoint)
        count += 1
    covered = 0
    for stream, checkpoints in by_stream.items():
        check = BranchCheck(checkpoints)
        async for record in _records(journal, stream, after=0):
            if check.take(str(record.digest)):
                break
        covered += check.finish()
    return CheckedCheckpoints(count, len(by_stream), covered)


class SigningOrder:
    """The signed chain of checkpoints: each names the one before it, no older key and no earlier time follows a later one."""

    def __init__(self, keys: SigningKeys, *, chained: bool = True) -> None:
        """`chained=False` for an excerpt, where others stood in between."""
        self._keys = keys
        self._chained = chained
        self._previous = _ZEROS
        self._key = 0
        self._signed_at_s = 0

    def take(self, stored: Checkpoint, *, digest: str) -> None:
        """The next checkpoint, and the digest of its event; CheckpointRefusedError when it does not hold."""
        checkpoint, signer = read_checkpoint(stored.token, keys=self._keys, peaks=stored.peaks)
        if checkpoint != stored:
            raise CheckpointRefusedError(str(stored), "its event says something else than what was signed")
        number = self._keys.index(signer)
        assert number is not None  # otherwise its signature would not count
        if self._chained and checkpoint.previous != self._previous:
            raise CheckpointRefusedError(str(checkpoint), "it does not follow the checkpoint before it")
        if number < self._key or checkpoint.signed_at_s < self._signed_at_s:
            raise CheckpointRefusedError(str(checkpoint), "it is older than the checkpoint before it")
        self._previous, self._key, self._signed_at_s = digest, number, checkpoint.signed_at_s


class BranchCheck:
    """The checkpoints of one branch against its digests, in one walk."""

    def __init__(self, checkpoints: Iterable[Checkpoint]) -> None:
        self._waiting = sorted(checkpoints, key=lambda one: one.sequence, reverse=True)
        self._frontier = Frontier()

    def take(self, digest: str) -> bool:
        """The next event's digest; True when no checkpoint waits any more."""
        self._frontier.extend([bytes.fromhex(digest)])
        while self._waiting and self._waiting[-1].sequence <= self._frontier.size:
            checkpoint = self._waiting.pop()
            if checkpoint.digest != digest or checkpoint.sequence != self._frontier.size:
                raise CheckpointRefusedError(str(checkpoint), f"the event there has the digest {digest}")
            if checkpoint.root != self._frontier.root().hex():
                raise CheckpointRefusedError(str(checkpoint), "the events before it are others")
            if checkpoint.peaks and checkpoint.peaks != tuple(peak.hex() for peak in self._frontier.peaks):
                raise CheckpointRefusedError(str(checkpoint), "its peaks are not those of its tree")
        return not self._waiting

    def finish(self) -> int:
        """How many events are covered; CheckpointRefusedError when the branch ends before a checkpoint."""
        if self._waiting:
            raise CheckpointRefusedError(
                str(self._waiting[-1]), f"the branch ends at sequence {self._frontier.size}: events were cut off"
            )
        return self._frontier.size


async def _check_position(journal: Journal, checkpoint: Checkpoint) -> None:
    if not checkpoint.position:
        return
    page = await journal.read(EventQuery(after_position=checkpoint.position - 1), limit=1)
    if not page or (page[0].position, page[0].digest) != (checkpoint.position, checkpoint.position_digest):
        raise CheckpointRefusedError(
            str(checkpoint), f"the journal has another event at position {checkpoint.position}"
        )


def _from_claims(claims: JsonObject | dict[str, object], token: str, peaks: tuple[str, ...]) -> Checkpoint:
    return msgspec.convert(
        {
            "session_id": claims["session"],
            "branch_id": claims["branch"],
            "signed_at_s": claims["iat"],
            "token": token,
            "peaks": peaks,
            **{
                name: claims[name] for name in ("sequence", "digest", "root", "position", "position_digest", "previous")
            },
        },
        Checkpoint,
    )


def _digest_of(event: NewEvent, head: Head) -> str:
    """The digest that an event gets behind a head."""
    record = EventRecord(
        event_id=event.event_id,
        session_id=event.session_id,
        branch_id=event.branch_id,
        agent_id=event.agent_id,
        sequence=head.sequence + 1,
        timestamp_us=event.timestamp_us,
        actor=event.actor,
        schema=event.schema,
        kind_name=event.kind_name,
        payload=event.payload,
    )
    return chain.event_digest(head.digest, record)


async def _records(journal: Journal, stream: Stream, *, after: int) -> AsyncIterator[EventRecord]:
    """All events of a stream behind a sequence."""
    more = True
    while more:
        page = await journal.read(EventQuery(*stream, after_sequence=after), limit=_PAGE)
        more = len(page) == _PAGE
        for record in page:
            yield record
        after = page[-1].sequence if page else after
        await asyncio.sleep(0)
