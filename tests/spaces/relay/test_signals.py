"""Signals of a conversation: what carries Relay's frames. Delivered to its participants, stored nowhere, refused like a message."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from life.spaces.commands import BlockIdentity, SendDirectMessage, SendSignal, SetProfile
from life.spaces.engine.embedded import EmbeddedEngine, Owner
from life.spaces.engine.port import Subscription, Update
from life.spaces.errors import (
    ForbiddenError,
    InvalidArgumentError,
    NotMemberError,
    SpacesNotFoundError,
    TooLongError,
)
from life.spaces.identity import Caller
from life.spaces.model import DirectMessage
from life.spaces.queries import topic_queries
from life.spaces.validation import MAX_SIGNAL_BYTES
from life.testing.clock import ManualClock, SeededEntropy
from life.testing.spaces import OPERATOR, ScriptedTokens, enter


async def subscribed(engine: EmbeddedEngine, caller: Caller) -> Subscription:
    return await engine.subscribe(topic_queries(engine.state, "dm:self", caller), caller)


async def next_signal(subscription: Subscription) -> Update:
    async with asyncio.timeout(2):
        async for update in subscription:
            if update.transient is not None:
                return update
    raise AssertionError


async def test_signals_of_a_conversation(tmp_path: Path) -> None:
    """The other participant gets them, nobody else and not the sender; the log does not grow; who may not write there may not signal."""
    tokens = ScriptedTokens()
    async with EmbeddedEngine.open(
        tmp_path / "spaces.db",
        clock=ManualClock(),
        entropy=SeededEntropy(),
        tokens=tokens,
        owner=Owner(OPERATOR),
        limits=None,
    ) as engine:
        ann, bob, eve = [await enter(engine, tokens, name, kind="agent") for name in ("ann", "bob", "eve")]
        await engine.submit(SetProfile(dm_from_agents=True), bob)
        row = (await engine.submit(SendDirectMessage(recipient=bob.identity, content="hello"), ann)).row
        assert isinstance(row, DirectMessage)
        place = row.conversation_id
        hears = {name: await subscribed(engine, caller) for name, caller in (("ann", ann), ("bob", bob), ("eve", eve))}
        before = engine.state.position
        await engine.submit(SendSignal(conversation_id=place, payload="psst"), ann)
        await engine.submit(SendSignal(conversation_id=place, payload="and back", target=ann.identity), bob)
        got = (await next_signal(hears["bob"])).transient
        assert got is not None
        assert (got.data["payload"], got.data["conversation_id"], got.actor) == ("psst", place, ann.identity)
        back = (await next_signal(hears["ann"])).transient
        assert back is not None
        assert back.data["payload"] == "and back"
        assert engine.state.position == before, "nothing of it is stored"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await next_signal(hears["eve"])
        for command, caller, refusal in (
            (SendSignal(conversation_id=place, payload="x"), eve, SpacesNotFoundError),
            (SendSignal(conversation_id=place + 1, payload="x"), ann, SpacesNotFoundError),
            (SendSignal(conversation_id=place, payload="x", target=eve.identity), ann, NotMemberError),
            (SendSignal(conversation_id=place, channel_id=1, payload="x"), ann, InvalidArgumentError),
            (SendSignal(conversation_id=place, payload=""), ann, InvalidArgumentError),
            (SendSignal(conversation_id=place, payload="x" * (MAX_SIGNAL_BYTES + 1)), ann, TooLongError),
            (SendSignal(payload="x"), ann, SpacesNotFoundError),
        ):
            with pytest.raises(refusal):
                await engine.submit(command, caller)
        await engine.submit(BlockIdentity(identity=ann.identity), bob)
        with pytest.raises(ForbiddenError):
            await engine.submit(SendSignal(conversation_id=place, payload="x"), ann)
        for subscription in hears.values():
            await subscription.aclose()
