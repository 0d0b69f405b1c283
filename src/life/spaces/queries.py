"""What callers may ask of the state, and the pure answers: visibility is computed for the caller on every row."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Final, NamedTuple, cast

import msgspec

from life.spaces.errors import InvalidArgumentError, SpacesNotFoundError
from life.spaces.identity import Caller
from life.spaces.model import (
    TABLES,
    Channel,
    ChannelType,
    Conversation,
    DirectMessage,
    Key,
    Member,
    Mention,
    Message,
    Participant,
    ReadState,
    Row,
    Space,
    Thread,
    Tombstone,
)
from life.spaces.state import State
from life.spaces.visibility import Sight

MAX_PAGE: Final = 200
DEFAULT_PAGE: Final = 50
MAX_SEARCHED: Final = 20_000
"""Messages that one search looks at, newest first."""
MAX_SNAPSHOT_ROWS: Final = 50_000

Scalar = int | str | bool


class TableQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows of one table whose fields equal these values. `latest`: of an ordered table at most so many of the newest rows."""

    table: str
    where: dict[str, Scalar] = {}
    latest: int | None = None


class Query(msgspec.Struct, frozen=True, kw_only=True, tag_field="query", forbid_unknown_fields=True):
    """A question."""


class Rows(Query, frozen=True, kw_only=True, tag="rows"):
    """The visible rows of some tables."""

    tables: tuple[TableQuery, ...]


class History(Query, frozen=True, kw_only=True, tag="history"):
    """Messages (and tombstones) of a channel or thread: the newest before `before`, the oldest after `after`, or those around one."""

    channel_id: int
    thread_id: int = 0
    before: int | None = None
    after: int | None = None
    around: int | None = None
    limit: int = DEFAULT_PAGE


class DmHistory(Query, frozen=True, kw_only=True, tag="dm_history"):
    """Messages of a conversation that the caller takes part in."""

    conversation_id: int
    before: int | None = None
    after: int | None = None
    limit: int = DEFAULT_PAGE


class Search(Query, frozen=True, kw_only=True, tag="search"):
    """Messages that contain the text, without case, newest first, in a space, a channel or wherever the caller reads."""

    text: str
    space_id: int = 0
    channel_id: int = 0
    sender: str = ""
    limit: int = DEFAULT_PAGE


class Unread(Query, frozen=True, kw_only=True, tag="unread"):
    """How much is unread per channel (and how often one is mentioned) and conversation."""

    space_id: int = 0


class UnreadCount(msgspec.Struct, frozen=True, kw_only=True):
    """Of one channel or conversation."""

    channel_id: int = 0
    conversation_id: int = 0
    unread: int = 0
    mentions: int = 0


AnyQuery = Rows | History | DmHistory | Search | Unread


class Answer(NamedTuple):
    """Rows, as of a position of the log."""

    position: int
    rows: tuple[Row, ...]
    more: bool = False
    """Whether there are further rows in the direction of the query."""
    counts: tuple[UnreadCount, ...] = ()


def answer(state: State, query: AnyQuery, caller: Caller) -> Answer:
    """Answer a query for a caller. Errors are SpacesErrors; what the caller may not see is not found."""
    sight = Sight(state, caller)
    match query:
        case Rows():
            rows: list[Row] = []
            for table in query.tables:
                rows += select(state, table, sight)
            return Answer(state.position, tuple(rows))
        case History():
            return _history(state, query, sight)
        case DmHistory():
            if not sight.conversation(query.conversation_id):
                raise SpacesNotFoundError("There is no such conversation.")
            keys = state.ordered(DirectMessage, ("conversation_id",), query.conversation_id)
            chosen, more = _page(keys, query.before, query.after, query.limit)
            return Answer(state.position, tuple(state.table(DirectMessage)[key] for key in chosen), more)
        case Search():
            return _search(state, query, sight)
        case Unread():
            return Answer(state.position, (), False, tuple(_unread(state, query, caller, sight)))


def table_of(query: TableQuery) -> type[Row]:
    """The row type of a query; InvalidArgumentError for an unknown table or field."""
    table = TABLES.get(query.table)
    if table is None or table.SIGHT == "nobody":
        raise InvalidArgumentError(f"There is no table {query.table!r}.")
    for field in query.where:
        if field not in table.__struct_fields__:
            raise InvalidArgumentError(f"The table {query.table!r} has no field {field!r}.")
    if query.latest is not None and not 0 <= query.latest <= MAX_SNAPSHOT_ROWS:
        raise InvalidArgumentError(f"latest lies between 0 and {MAX_SNAPSHOT_ROWS}.")
    return table


def matches(query: TableQuery, row: Row) -> bool:
    """Whether a row of the query's table fits its conditions."""
    return all(getattr(row, field) == value for field, value in query.where.items())


def select(state: State, query: TableQuery, sight: Sight) -> list[Row]:
    """The visible rows of a table query, at most MAX_SNAPSHOT_ROWS of them (the newest, for ordered tables)."""
    table = table_of(query)
    limit = MAX_SNAPSHOT_ROWS if query.latest is None else query.latest
    found: list[Row] = []
    if limit == 0:
        return found
    for row in _candidates(state, table, query, sight):
        if matches(query, row) and sight.sees(row):
            found.append(row)
            if len(found) >= limit:
                break
    if table.ORDERED:
        found.reverse()
    return found


def _candidates(state: State, table: type[Row], query: TableQuery, sight: Sight) -> Iterator[Row]:
    """Rows by the narrowest index that fits; newest first where there is an order."""
    where = query.where
    rows = state.table(table)
    for fields in sorted(table.ORDERED, key=len, reverse=True):
        if all(field in where for field in fields):
            for key in reversed(state.ordered(table, fields, _index_value(where, fields))):
                yield rows[key]
            return
    if all(field in where for field in table.KEY):
        row = rows.get(_index_value(where, table.KEY))
        if row is not None:
            yield row
        return
    for fields in sorted(table.INDEXES, key=len, reverse=True):
        if all(field in where for field in fields):
            yield from state.find(table, fields, _index_value(where, fields))
            return
    places = _places(table, sight)
    if places is None:
        yield from reversed(rows.values()) if table.ORDERED else rows.values()
        return
    fields, values = places
    if fields in table.ORDERED:
        for key in heapq.merge(*(reversed(state.ordered(table, fields, value)) for value in values), reverse=True):
            yield rows[key]
    else:
        for value in values:
            yield from state.find(table, fields, value)


def _places(table: type[Row], sight: Sight) -> tuple[tuple[str, ...], list[Key]] | None:
    """The index and its values that all visible rows of a big table are found by, so that nobody makes us look through everybody's."""
    indexes = (*table.ORDERED, *table.INDEXES)
    match table.SIGHT:
        case "channel" if ("channel_id",) in indexes:
            return ("channel_id",), list(sight.channels())
        case "conversation" if ("conversation_id",) in indexes:
            return ("conversation_id",), list(sight.conversations())
        case "own" if table.OWNERS in indexes:
            return table.OWNERS, [sight.identity]
        case "space" if ("space_id",) in indexes:
            return ("space_id",), sorted(sight.spaces())
        case _:
            return None


def _index_value(where: dict[str, Scalar], fields: tuple[str, ...]) -> Key:
    values = tuple(where[field] for field in fields)
    return values[0] if len(values) == 1 else values


def _check_limit(limit: int) -> int:
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidArgumentError(f"A page has 1 to {MAX_PAGE} rows.")
    return limit


def _history(state: State, query: History, sight: Sight) -> Answer:
    if not sight.channel(query.channel_id):
        raise SpacesNotFoundError("There is no such channel.")
    place: Key = (query.channel_id, query.thread_id)
    fields = ("channel_id", "thread_id")
    living = state.ordered(Message, fields, place)
    dead = state.ordered(Tombstone, fields, place)
    limit = _check_limit(query.limit)
    if query.around is not None:
        half = limit // 2
        older, more_older = _merged(living, dead, query.around, None, max(half, 1))
        newer, more_newer = _merged(living, dead, None, query.around - 1, max(limit - half, 1))
        chosen, more = [*older, *newer], more_older or more_newer
    else:
        chosen, more = _merged(living, dead, query.before, query.after, limit)
    rows = [row for key in chosen if (row := state.message_at(key)) is not None]
    return Answer(state.position, tuple(rows), more)


def _merged(
    living: list[int], dead: list[int], before: int | None, after: int | None, limit: int
) -> tuple[list[int], bool]:
    first, more = _page(living, before, after, limit)
    if not dead:
        return first, more
    second, more_dead = _page(dead, before, after, limit)
    both = sorted([*first, *second])
    forward = after is not None
    chosen = both[:limit] if forward else both[-limit:]
    return chosen, more or more_dead or len(both) > limit


def _page(keys: list[int], before: int | None, after: int | None, limit: int) -> tuple[list[int], bool]:
    """A page of ascending keys, and whether there is more in its direction (backwards unless `after` is given)."""
    _check_limit(limit)
    start = 0 if after is None else bisect_right(keys, after)
    end = len(keys) if before is None else bisect_left(keys, before)
    if after is not None:
        return keys[start : min(start + limit, end)], end - start > limit
    return keys[max(start, end - limit) : end], end - start > limit


def _search(state: State, query: Search, sight: Sight) -> Answer:
    limit = _check_limit(query.limit)
    wanted = query.text.casefold()
    if not wanted.strip() or len(wanted) > 200:
        raise InvalidArgumentError("A search has 1 to 200 characters.")
    if query.channel_id and not sight.channel(query.channel_id):
        raise SpacesNotFoundError("There is no such channel.")
    found: list[Row] = []
    looked = 0
    for message in _newest_first(state, query, sight):
        looked += 1
        if looked > MAX_SEARCHED:
            return Answer(state.position, tuple(found), True)
        if query.sender and message.sender != query.sender:
            continue
        if wanted in message.content.casefold() and sight.channel(message.channel_id):
            found.append(message)
            if len(found) >= limit:
                return Answer(state.position, tuple(found), True)
    return Answer(state.position, tuple(found))


def _newest_first(state: State, query: Search, sight: Sight) -> Iterator[Message]:
    rows = state.table(Message)
    if query.channel_id:
        for key in reversed(state.ordered(Message, ("channel_id",), query.channel_id)):
            yield rows[key]
        return
    spaces = sight.spaces()
    if query.space_id:
        spaces &= {query.space_id}
    for message in reversed(rows.values()):
        if message.space_id in spaces:
            yield message


def _unread(state: State, query: Unread, caller: Caller, sight: Sight) -> Iterator[UnreadCount]:
    spaces = {query.space_id} if query.space_id else sight.spaces()
    for space_id in sorted(spaces):
        member = sight.member(space_id)
        if member is None:
            continue
        for channel in state.find(Channel, ("space_id",), space_id):
            if channel.channel_type is ChannelType.VOICE or not sight.channel(channel.id):
                continue
            read = state.get(ReadState, (caller.identity, channel.id, 0))
            keys = state.ordered(Message, ("channel_id", "thread_id"), (channel.id, 0))
            fresh = keys[bisect_right(keys, read.last_read_id if read else 0) :]
            if fresh:
                mentions = sum(_mentioned(state, key, caller.identity, member) for key in fresh[-MAX_PAGE:])
                yield UnreadCount(channel_id=channel.id, unread=len(fresh), mentions=mentions)
    if not query.space_id:
        for participant in state.find(Participant, ("identity",), caller.identity):
            keys = state.ordered(DirectMessage, ("conversation_id",), participant.conversation_id)
            unread = len(keys) - bisect_right(keys, participant.last_read_id)
            if unread:
                yield UnreadCount(conversation_id=participant.conversation_id, unread=unread)


def _mentioned(state: State, message_id: int, identity: str, member: Member) -> bool:
    return any(
        mention.kind == "everyone"
        or (mention.kind == "user" and mention.target == identity)
        or (mention.kind == "role" and mention.target == member.role.value)
        for mention in state.find(Mention, ("message_id",), message_id)
    )


def topic_queries(state: State, topic: str, caller: Caller, *, latest: int = DEFAULT_PAGE) -> tuple[TableQuery, ...]:
    """The table queries behind a topic of spaces.md §7: `spaces`, `space:{id}`, `channel:{id}`, `thread:{id}`, `dm:self`, `inbox:self`,
    `directory`, `tasks:self`. InvalidArgumentError for another; what the caller may not see is not found."""
    name, _, rest = topic.partition(":")
    sight = Sight(state, caller)
    if name in ("space", "channel", "thread"):
        if not rest.isascii() or not rest.isdigit():
            raise InvalidArgumentError(f"The topic {topic!r} needs a number.")
        return _numbered_topic(state, name, int(rest), sight, latest)
    queries = {
        "spaces": (("server", {}, None), ("server_member", {"identity": caller.identity}, None)),
        "dm:self": (("direct_conversation", {}, None), ("dm_participant", {}, None), ("direct_message", {}, latest)),
        "inbox:self": (("system_notification", {"target": caller.identity}, latest),),
        "directory": (("agent_listing", {}, None), ("agent_skill", {}, None), ("agent_health", {}, None)),
        "tasks:self": (("a2a_task", {}, None),),
    }.get(topic)
    if queries is None:
        raise InvalidArgumentError(f"There is no topic {topic!r}.")
    return tuple(
        TableQuery(table=table, where=cast("dict[str, Scalar]", where), latest=count) for table, where, count in queries
    )


def _numbered_topic(state: State, name: str, number: int, sight: Sight, latest: int) -> tuple[TableQuery, ...]:
    if name == "space":
        space = state.get(Space, number)
        if space is None or not sight.sees(space):
            raise SpacesNotFoundError("There is no such space.")
        place: dict[str, Scalar] = {"space_id": number}
        tables = ("server_member", "channel", "space_role_override", "thread", "ban", "mute", "report", "invite")
        return (
            TableQuery(table="server", where={"id": number}),
            *(TableQuery(table=table, where=place) for table in tables),
            TableQuery(table="audit", where=place, latest=latest),
        )
    channel_id = number
    where: dict[str, Scalar] = {}
    if name == "thread":
        thread = state.get(Thread, number)
        if thread is None:
            raise SpacesNotFoundError("There is no such thread.")
        channel_id, where = thread.channel_id, {"thread_id": number}
    if not sight.channel(channel_id):
        raise SpacesNotFoundError(f"There is no such {name}.")
    place = {"channel_id": channel_id, **where}
    everything: dict[str, Scalar] = {"channel_id": channel_id}
    return (
        TableQuery(table="message", where=place, latest=latest),
        TableQuery(table="message_tombstone", where=place, latest=latest),
        *(
            TableQuery(table=table, where=everything)
            for table in ("thread", "reaction", "pin", "mention", "voice_member")
        ),
    )


def conversation_between(state: State, first: str, second: str) -> Conversation | None:
    """The conversation of two, found by its pair (W13)."""
    found = state.find(Conversation, ("pair",), pair_of(first, second))
    return found[0] if found else None


def pair_of(first: str, second: str) -> str:
    """Both identities in order: the name of their conversation."""
    return f"{min(first, second)}:{max(first, second)}"
