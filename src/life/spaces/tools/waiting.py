"""The tool that waits: for a message, a hire, work, an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from life.aios.errors import ToolError
from life.aios.ports.tools import ToolContext
from life.spaces.hiring.desk import Hire
from life.spaces.model import DirectMessage, Message
from life.spaces.queries import DmHistory, History
from life.spaces.tools.arguments import WaitFor
from life.spaces.tools.hires import asked_told, wait_for_answer
from life.spaces.tools.reading import conversation_with, dms_told, messages_told
from life.spaces.tools.room import Room
from life.spaces.tools.telling import NOTICE, JsonMap, Told
from life.spaces.tools.telling import hires as hires_shown
from life.spaces.tools.until import wait_until

_PAGE: Final = 50


async def wait_for(room: Room, given: WaitFor, context: ToolContext) -> Told:
    """One of the things that a model waits for."""
    begun_us = room.clock.monotonic_us()
    match given.what:
        case "message":
            told = await _message(room, given)
        case "dm":
            told = await _dm(room, given)
        case "answer":
            told = await _answer(room, given)
        case _:
            told = await _hire(room, given, context)
    waited: JsonMap = {"waited_s": (room.clock.monotonic_us() - begun_us) // 1_000_000}
    if told is None:
        return Told({"happened": False, "for": given.what, **waited})
    return Told({"happened": True, "for": given.what, **waited, **told.output}, told.notes)


async def _message(room: Room, given: WaitFor) -> Told | None:
    if given.channel is None:
        raise ToolError("Which channel? Give channel.")
    seat = await room.open_seat()
    channel = await room.channel(seat, given.channel, given.space)
    sender = "" if given.peer is None else (await room.people.resolve(seat, given.peer)).identity
    after = given.after
    if after is None:
        page = (await seat.query(History(channel_id=channel.id, limit=_PAGE))).rows
        after = _own_last([row for row in page if isinstance(row, Message)], seat.identity)

    async def look() -> Told | None:
        rows = (await seat.query(History(channel_id=channel.id, after=after, limit=_PAGE))).rows
        fresh = [row for row in rows if isinstance(row, Message) and row.sender != seat.identity]
        if not any(sender in ("", row.sender) for row in fresh):
            return None
        return await messages_told(room, seat, channel, History(channel_id=channel.id, after=after, limit=_PAGE))

    return await wait_until(seat, (f"channel:{channel.id}",), look, clock=room.clock, timeout_s=given.timeout_s)


async def _dm(room: Room, given: WaitFor) -> Told | None:
    if given.peer is None:
        raise ToolError("Whose message? Give peer.")
    seat = await room.open_seat()
    peer = await room.people.resolve(seat, given.peer)
    after = given.after
    if after is None:
        conversation = await conversation_with(seat, peer.identity)
        page = () if conversation is None else (await seat.query(DmHistory(conversation_id=conversation))).rows
        after = _own_last([row for row in page if isinstance(row, DirectMessage)], seat.identity)

    async def look() -> Told | None:
        conversation = await conversation_with(seat, peer.identity)
        if conversation is None:
            return None
        rows = (await seat.query(DmHistory(conversation_id=conversation, after=after))).rows
        if not any(isinstance(row, DirectMessage) and row.sender == peer.identity for row in rows):
            return None
        return await dms_told(room, seat, peer.identity, limit=_PAGE, after=after)

    return await wait_until(seat, ("dm:self",), look, clock=room.clock, timeout_s=given.timeout_s)


def _own_last(rows: Sequence[Message | DirectMessage], mine: str) -> int:
    """Behind what a wait begins when nothing is said: our own last message, or else the newest there is."""
    own = [row.id for row in rows if row.sender == mine]
    return max(own, default=max((row.id for row in rows), default=0))


async def _answer(room: Room, given: WaitFor) -> Told | None:
    if given.hire_id is None:
        raise ToolError("To which question? Give its ask_id as hire_id.")
    found = await wait_for_answer(room, given.hire_id, given.timeout_s)
    return None if found is None else asked_told(found)


async def _hire(room: Room, given: WaitFor, context: ToolContext) -> Told | None:
    """A hire of ours that is delivered or over, or work that waits for us."""
    seat = await room.open_seat()

    async def look() -> list[Hire] | None:
        if given.what == "work":
            found = [
                hire
                for hire in await room.hiring.list_(role="worker", open_only=True)
                if hire.state in ("offered", "working")
            ]
        elif given.hire_id is not None:
            one = await room.hiring.look(given.hire_id)
            found = [one] if one.is_over or one.state in ("delivered", "disputed") else []
        else:
            found = [
                hire
                for hire in await room.hiring.list_(role="customer", kind="hire", open_only=True)
                if hire.state == "delivered"
            ]
        return found or None

    found = await wait_until(seat, ("tasks:self",), look, clock=room.clock, timeout_s=given.timeout_s)
    if found is None:
        return None
    return Told({"notice": NOTICE, "hires": hires_shown(found)}, room.noticed(context, found))
