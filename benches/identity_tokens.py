"""Verifying an agent's token against the bare signature check, and resolving a chain of 256 rotations with nothing cached.

    verify      form, signature, claims, standing, rotation, revocation, single use in a file; keys and chain cached
    bare        the P-256 check of the same bytes alone, with the key parsed before
    pyjwt       PyJWT's decode with a parsed key: no chain, no revocation, no single use
    resolve     256 rotations, two proofs each, from their texts to the current DID
    journal     the same from a journal's records, one by one: decoding, folding, all 512 signatures, indexing
    floor       what resolving can't do without: 257 points parsed, 257 signatures checked

Goals: verify at least half as fast as the bare check; 256 links resolved within 50 ms, the resolver adding at most a half to its floor.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jwt
from measure import Claim, arguments, interleaved, report

from life.aios.ports.journal import EventQuery
from life.aios.record import EventRecord, format_timestamp
from life.anima import chain
from life.anima.chain import RotationLink, acceptance_claims, proof_claims, verify_chain
from life.anima.custody.in_process import InProcessAnima
from life.anima.genesis import agent_stream, ensure_genesis, rotation_event
from life.anima.home import create_identity, open_identity
from life.anima.key_source import RawKey
from life.anima.registry import IdentityRegistry
from life.anima.replay_store import FileReplayStore
from life.anima.tokens import issue_agent_token
from life.anima.verifier import TokenVerifier
from life.crypto import did, jwk, jws, p256
from life.crypto.did import resolve_did
from life.crypto.jwk import public_jwk
from life.crypto.p256 import P256PublicKey
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import START_US, ManualClock, SeededEntropy

LINKS = 256
GOAL_MS = 50.0
NOW_S = START_US // 1_000_000
_CACHES = (did._resolve, p256.load_public_key, jws._verifier, jws._parse_header, jwk.thumbprint, chain._header)


class Chain(NamedTuple):
    """An identity with 256 rotations: links, the records of its stream, and the signatures in them."""

    links: list[RotationLink]
    records: list[EventRecord]
    journal: MemoryJournal
    agent_id: str
    signatures: list[tuple[bytes, bytes, bytes]]
    """Compressed key, message, signature."""


def forget() -> None:
    """Empty every cache of keys and headers."""
    for cached in _CACHES:
        cached.cache_clear()


async def chain_of(folder: Path, clock: ManualClock) -> Chain:
    """Rotate 256 times in memory."""
    identity, _ = create_identity(folder, key_source=key(), clock=clock, entropy=SeededEntropy())
    journal = MemoryJournal()
    await ensure_genesis(journal, identity)
    current = open_identity(folder, key(), clock=clock).custody
    links: list[RotationLink] = []
    for number in range(LINKS):
        following = InProcessAnima.from_seed(bytearray(hashlib.sha256(b"%d" % number).digest()), clock=clock)
        old, new = current.capabilities().did or "", following.capabilities().did or ""
        links.append(
            RotationLink(
                old_did=old,
                new_did=new,
                rotation_proof_jws=await current.sign_token(
                    proof_claims(old, new, now_s=NOW_S, previous_did=links[-1].old_did if links else None)
                ),
                new_key_proof=await following.sign_token(acceptance_claims(old, new, now_s=NOW_S)),
                rotated_at=format_timestamp(START_US),
            )
        )
        current = following
    await journal.append([rotation_event(link, agent_id=identity.agent_id) for link in links])
    stream = agent_stream(identity.agent_id)
    query = EventQuery(session_id=stream.session_id, branch_id=stream.branch_id)
    signatures = []
    for link in links:
        for token in (link.rotation_proof_jws, *([link.new_key_proof] if link is links[-1] else [])):
            parsed = jws.parse(token)
            signatures.append((resolve_did(parsed.kid).public_key, parsed.signing_input, parsed.signature))
    return Chain(links, await journal.read(query), journal, identity.agent_id, signatures)


def key() -> RawKey:
    """Opens the seed without a slow derivation."""
    return RawKey(bytearray(32))


def in_ms(work: Callable[[], object]) -> Callable[[], float]:
    """A case that does `work` once from cold and gives milliseconds."""

    def run() -> float:
        forget()
        start = time.perf_counter()
        work()
        return (time.perf_counter() - start) * 1e3

    return run


def chain_cases(made: Chain) -> dict[str, Callable[[], float]]:
    """Resolving, folding, and the floor."""
    start, end = made.links[0].old_did, made.links[-1].new_did
    fresh = [EventRecord(**{name: getattr(item, name) for name in item.__struct_fields__}) for item in made.records]

    def resolve() -> None:
        assert verify_chain(made.links, start=start) == end

    def fold() -> None:
        for record in fresh:
            record._kind = None
        registry = IdentityRegistry(made.journal, ManualClock())
        registry.apply(made.agent_id, fresh)
        standing = registry.standing(end)
        assert standing is not None
        assert standing.key_state == "current"

    def floor() -> None:
        keys: dict[bytes, P256PublicKey] = {}
        for compressed, message, signature in made.signatures:
            public = keys.get(compressed) or keys.setdefault(compressed, P256PublicKey(compressed))
            public.verify(message, signature)

    return {
        "resolve": in_ms(resolve),
        "journal": in_ms(fold),
        "floor": in_ms(floor),
        f"{GOAL_MS:.0f} ms": lambda: GOAL_MS,
    }


async def token_cases(folder: Path, clock: ManualClock, count: int, rounds: int) -> dict[str, Callable[[], float]]:
    """Tokens per second, each used once."""
    identity, _ = create_identity(folder, key_source=key(), clock=clock, entropy=SeededEntropy("tokens"))
    journal = MemoryJournal()
    await ensure_genesis(journal, identity)
    registry = IdentityRegistry(journal, clock)
    await registry.load()
    custody = open_identity(folder, key(), clock=clock).custody
    entropy = SeededEntropy("ids")
    tokens = [
        await issue_agent_token(custody, agent_id=identity.agent_id, audience="svc", clock=clock, entropy=entropy)
        for _ in range(count)
    ]
    parsed = [jws.parse(token) for token in tokens]
    public = P256PublicKey(resolve_did(identity.did).public_key)
    pyjwk = jwt.PyJWK({**public_jwk(resolve_did(identity.did)), "alg": "ES256"})
    options = {"verify_exp": False, "verify_iat": False}
    numbers = itertools.count()

    def verify() -> None:
        path = folder.parent / f"used-{next(numbers)}"
        store = FileReplayStore.open(path, clock=clock)
        verifier = TokenVerifier(audience="svc", identities=registry, replay=store, clock=clock)
        for token in tokens:
            verifier.verify_agent_token(token)
        store.close()

    def bare() -> None:
        for item in parsed:
            public.verify(item.signing_input, item.signature)

    def by_pyjwt() -> None:
        for token in tokens:
            jwt.decode(token, pyjwk, algorithms=["ES256"], audience="svc", options=options)  # type: ignore[arg-type]

    def per_second(work: Callable[[], None]) -> Callable[[], float]:
        def run() -> float:
            start = time.perf_counter()
            work()
            return count / (time.perf_counter() - start)

        return run

    return {"verify": per_second(verify), "bare": per_second(bare), "pyjwt": per_second(by_pyjwt)}


def main() -> int:
    """Both halves; 1 when a goal is missed."""
    options = arguments(__doc__ or "")
    clock = ManualClock()
    with tempfile.TemporaryDirectory() as place:
        tokens = asyncio.run(token_cases(Path(place) / "a", clock, 300 if options.quick else 2_000, options.rounds))
        missed = report(
            interleaved(tokens, rounds=options.rounds),
            "tokens/s",
            [Claim("T1", "verify", "bare", at_least=0.5), Claim("T2", "verify", "pyjwt")],
        )
        made = asyncio.run(chain_of(Path(place) / "b", clock))
        limit = f"{GOAL_MS:.0f} ms"
        missed |= report(
            interleaved(chain_cases(made), rounds=options.rounds),
            "ms",
            [
                Claim("C1", "resolve", limit, at_most=1),
                Claim("C2", "resolve", "floor", at_most=1.5),
                Claim("C3", "journal", "floor"),
            ],
        )
    return missed


if __name__ == "__main__":
    sys.exit(main())
