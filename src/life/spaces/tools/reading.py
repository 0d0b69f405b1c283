"""Tools that only look: spaces, channels, members, messages, the directory."""

from __future__ import annotations

from life.aios.json import Json
from life.aios.ports.tools import ToolContext
from life.spaces.hiring.peers import rows_of
from life.spaces.model import Channel, Conversation, Health, Listing, Member, Message, Skill, Space
from life.spaces.queries import DmHistory, History, Rows, Search, TableQuery, pair_of
from life.spaces.seat import Seat
from life.spaces.tools.arguments import (
    FindAgent,
    ListChannels,
    ListMembers,
    ListSpaces,
    ReadDms,
    ReadMessages,
    SearchArguments,
)
from life.spaces.tools.room import Room
from life.spaces.tools.telling import NOTICE, JsonMap, Told, last_of, message, messages, peer_ref, share

_PRESENCES = 200
_MOST_LOOKED_AT = 200
"""Listings that fit; of more the cheapest."""


async def list_spaces(room: Room, _: ListSpaces, context: ToolContext) -> Told:
    """Spaces that the agent sees, with its role."""
    seat = await room.open_seat()
    tables = (TableQuery(table="server"), TableQuery(table="server_member", where={"identity": seat.identity}))
    rows = (await seat.query(Rows(tables=tables))).rows
    roles = {row.space_id: row.role.value for row in rows if isinstance(row, Member)}
    spaces: list[Json] = [
        {"id": row.id, "quoted_name": row.name, "visibility": row.visibility, "role": roles.get(row.id)}
        for row in rows
        if isinstance(row, Space)
    ]
    return Told({"notice": NOTICE, "spaces": spaces})


async def list_channels(room: Room, given: ListChannels, context: ToolContext) -> Told:
    """Channels of a space."""
    seat = await room.open_seat()
    rows = await rows_of(seat, "channel", {"space_id": given.space})
    channels = sorted((row for row in rows if isinstance(row, Channel)), key=lambda row: (row.position, row.id))
    told: list[Json] = [
        {"id": row.id, "quoted_name": row.name, "type": row.channel_type.value, "quoted_topic": row.topic}
        for row in channels
    ]
    seen: list[Json] = [{"id": row.id, "name": row.name, "type": row.channel_type.value} for row in channels]
    note: JsonMap = {"space_id": given.space, "channels": seen}
    return Told({"notice": NOTICE, "space": given.space, "channels": told}, (("channels_seen", note),))


async def list_members(room: Room, given: ListMembers, context: ToolContext) -> Told:
    """Members of a space, with who is here."""
    seat = await room.open_seat()
    rows = await rows_of(seat, "server_member", {"space_id": given.space})
    members = [row for row in rows if isinstance(row, Member)]
    page = members[: given.limit]
    here = {presence.identity: presence.state for presence in await seat.who([row.identity for row in page])}
    told: list[Json] = [
        {
            **peer_ref(await room.people.peer(seat, row.identity)),
            "role": row.role.value,
            "presence": here.get(row.identity, "offline"),
        }
        for row in page
    ]
    return Told({"notice": NOTICE, "space": given.space, "members": told, "more": len(members) > len(page)})


async def read_messages(room: Room, given: ReadMessages, context: ToolContext) -> Told:
    """Messages of a channel or thread."""
    seat = await room.open_seat()
    channel = await room.channel(seat, given.channel, given.space)
    query = History(
        channel_id=channel.id, thread_id=given.thread_id, before=given.before, after=given.after, limit=given.limit
    )
    return await messages_told(room, seat, channel, query)


async def messages_told(room: Room, seat: Seat, channel: Channel, query: History) -> Told:
    """A page of a channel, with its event."""
    found = await seat.query(query)
    quoted = await room.quoted(seat, found.rows)
    output: JsonMap = {
        "notice": NOTICE,
        "channel_id": channel.id,
        "messages": messages(quoted, seat.identity),
        "more": found.more,
    }
    note: JsonMap = {
        "space_id": channel.space_id,
        "channel_id": channel.id,
        "channel": channel.name,
        "thread_id": query.thread_id,
        "count": len(quoted),
        "last": last_of(quoted),
    }
    return Told(output, (("messages_read", note),))


async def read_dms(room: Room, given: ReadDms, context: ToolContext) -> Told:
    """The conversation with one peer."""
    seat = await room.open_seat()
    profile = await room.people.resolve(seat, given.peer)
    return await dms_told(room, seat, profile.identity, limit=given.limit)


async def dms_told(room: Room, seat: Seat, identity: str, *, limit: int, after: int | None = None) -> Told:
    """A page of a conversation, with its event; an empty one when nothing was ever said."""
    peer = await room.people.peer(seat, identity)
    conversation = await conversation_with(seat, identity)
    if conversation is None:
        nothing: JsonMap = {"conversation_id": 0, "messages": [], "more": False}
        return Told({"notice": NOTICE, **nothing})
    found = await seat.query(DmHistory(conversation_id=conversation, after=after, limit=limit))
    quoted = await room.quoted(seat, found.rows)
    output: JsonMap = {
        "notice": NOTICE,
        "conversation_id": conversation,
        "messages": messages(quoted, seat.identity),
        "more": found.more,
    }
    note: JsonMap = {
        "peer": peer_ref(peer),
        "conversation_id": conversation,
        "count": len(quoted),
        "last": last_of(quoted),
    }
    return Told(output, (("dms_read", note),))


async def conversation_with(seat: Seat, identity: str) -> int | None:
    """The conversation of us two; None when there is none yet."""
    for row in await rows_of(seat, "direct_conversation", {"pair": pair_of(seat.identity, identity)}):
        if isinstance(row, Conversation):
            return row.id
    return None


async def search(room: Room, given: SearchArguments, context: ToolContext) -> Told:
    """Messages that contain a text."""
    seat = await room.open_seat()
    channel = 0 if given.channel is None else (await room.channel(seat, given.channel, given.space or 1)).id
    found = await seat.query(Search(text=given.text, space_id=given.space, channel_id=channel, limit=given.limit))
    quoted = await room.quoted(seat, found.rows)
    limit = share(len(quoted))
    told: list[Json] = [
        {**message(each, seat.identity, limit), "channel_id": each.row.channel_id}
        for each in quoted
        if isinstance(each.row, Message)
    ]
    return Told({"notice": NOTICE, "messages": told, "more": found.more})


async def find_agent(room: Room, given: FindAgent, context: ToolContext) -> Told:
    """Agents of the directory: those we trust most first, then the cheaper ones."""
    seat = await room.open_seat()
    tables = tuple(TableQuery(table=name) for name in ("agent_listing", "agent_skill", "agent_health"))
    rows = (await seat.query(Rows(tables=tables))).rows
    skills: dict[str, list[Skill]] = {}
    health: dict[str, Health] = {}
    for row in rows:
        if isinstance(row, Skill):
            skills.setdefault(row.identity, []).append(row)
        elif isinstance(row, Health):
            health[row.identity] = row
    listings = [
        row
        for row in rows
        if isinstance(row, Listing)
        and row.identity != seat.identity
        and _fits(row, skills.get(row.identity, []), given)
    ]
    listings = sorted(listings, key=lambda row: (row.price_per_request_micro, row.identity))[:_MOST_LOOKED_AT]
    names = [row.identity for row in listings]
    online: set[str] = set()
    for start in range(0, len(names), _PRESENCES):
        here = await seat.who(names[start : start + _PRESENCES])
        online |= {presence.identity for presence in here if presence.state != "offline"}
    found: list[tuple[tuple[int, int, int, str], JsonMap, JsonMap]] = []
    for row in listings:
        trust = await room.hiring.trust_in(row.identity)
        if given.min_trust_micro is not None and trust.score_micro < given.min_trust_micro:
            continue
        if given.online and row.identity not in online:
            continue
        peer = await room.people.peer(seat, row.identity)
        score = health[row.identity].score if row.identity in health else 100
        own = sorted(skills.get(row.identity, []), key=lambda skill: skill.skill_id)
        shared: JsonMap = {
            "price_micro": row.price_per_request_micro,
            "currency": row.currency,
            "trust_micro": trust.score_micro,
            "online": row.identity in online,
        }
        told: JsonMap = {
            "identity": row.identity,
            "name": peer.name,
            "quoted_name": row.name,
            "quoted_description": row.description,
            "skills": [{"id": skill.skill_id, "quoted_name": skill.name, "tags": list(skill.tags)} for skill in own],
            **shared,
            "interactions": trust.interactions,
            "health_score": score,
        }
        note: JsonMap = {**peer_ref(peer), "skills": [skill.skill_id for skill in own], **shared}
        found.append(((-trust.score_micro, row.price_per_request_micro, -score, row.identity), told, note))
    found.sort(key=lambda entry: entry[0])
    chosen = found[: given.limit]
    output: JsonMap = {
        "notice": NOTICE,
        "agents": [told for _, told, _ in chosen],
        "more": len(found) > len(chosen),
    }
    event: JsonMap = {"skill": given.skill, "text": given.text, "peers": [note for _, _, note in chosen]}
    return Told(output, (("peers_found", event),))


def _fits(row: Listing, skills: list[Skill], given: FindAgent) -> bool:
    if given.max_price_micro is not None and row.price_per_request_micro > given.max_price_micro:
        return False
    wanted = given.skill.strip().casefold()
    if wanted and not any(wanted == skill.skill_id or wanted in skill.tags for skill in skills):
        return False
    text = given.text.strip().casefold()
    if not text:
        return True
    words = [row.name, row.description, *(f"{skill.name} {skill.description}" for skill in skills)]
    return any(text in word.casefold() for word in words)
