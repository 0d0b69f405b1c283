"""Spaces, as the project's own agent sees them: spaces, channels with their messages, members, peers, tasks, the moderation log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from life.aios.errors import InvalidInputError, LifeError
from life.host.pages.areas.room import Place, Room
from life.host.pages.listing import listed, number
from life.host.pages.parts import Choice, Column, Fact, Facts, Note, Row, Tab, Table, View
from life.host.pages.visit import Visit
from life.host.pages.words import Words

if TYPE_CHECKING:
    from life.spaces.model import Row as SpacesRow
    from life.spaces.seat import Seat

_MOST_MESSAGES: Final = 50
R = TypeVar("R", bound="SpacesRow")


class SpacesPages:
    """The handlers. Nothing of Spaces is imported or opened before somebody looks."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def places(self) -> list[Place]:
        """The addresses."""
        return [
            Place("/spaces", self.spaces),
            Place("/spaces/channels", self.channels),
            Place("/spaces/channels/{channel_id}", self.channel),
            Place("/spaces/members", self.members),
            Place("/spaces/peers", self.peers),
            Place("/spaces/tasks", self.tasks),
            Place("/spaces/log", self.log),
        ]

    async def spaces(self, visit: Visit) -> View:
        """The spaces that the agent sees."""
        from life.spaces.model import Channel, Member, Space

        say = visit.say
        seat = await self._seat(say)
        if isinstance(seat, View):
            return seat
        spaces, members, channels = await _rows(seat, Space), await _rows(seat, Member), await _rows(seat, Channel)
        rows: list[Row] = [
            {
                "id": space.id,
                "name": space.name,
                "description": space.description,
                "visibility": space.visibility,
                "channels": sum(channel.space_id == space.id for channel in channels),
                "members": sum(member.space_id == space.id for member in members),
                "since": space.created_us,
            }
            for space in spaces
        ]
        columns = [
            Column("id", say("Number"), "number"),
            Column("name", say("Space"), href=lambda row: f"/spaces/channels?space={row['id']}"),
            Column("description", say("Description")),
            Column("visibility", say("Visible to"), "tag"),
            Column("channels", say("Channels"), "number", href=lambda row: f"/spaces/channels?space={row['id']}"),
            Column("members", say("Members"), "number", href=lambda row: f"/spaces/members?space={row['id']}"),
            Column("since", say("Since (UTC)"), "time"),
        ]
        facts = Facts(
            [
                Fact(say("The agent's identity here"), seat.identity, "code"),
                Fact(say("Served by"), seat.address or say("this daemon"), "code"),
            ]
        )
        table = listed(visit.query, columns, rows, empty=say("The agent sees no spaces yet."))
        return View(say("Spaces"), [facts, table], "life spaces list", tabs=_tabs(say))

    async def channels(self, visit: Visit) -> View:
        """Channels, of one space or of all."""
        from life.spaces.model import Channel, Space

        say = visit.say
        seat = await self._seat(say)
        if isinstance(seat, View):
            return seat
        names = {space.id: space.name for space in await _rows(seat, Space)}
        found = sorted(await _rows(seat, Channel), key=lambda channel: (channel.space_id, channel.position))
        rows: list[Row] = [
            {
                "id": channel.id,
                "name": f"#{channel.name}",
                "type": channel.channel_type.value,
                "space": str(channel.space_id),
                "space_name": names.get(channel.space_id, ""),
                "topic": channel.topic,
            }
            for channel in found
        ]
        columns = [
            Column("id", say("Number"), "number"),
            Column("name", say("Channel"), href=lambda row: f"/spaces/channels/{row['id']}"),
            Column("type", say("Kind"), "tag"),
            Column("space_name", say("Space")),
            Column("topic", say("Topic")),
            Column("space", say("Space number"), "number", shown=False),
        ]
        choice = Choice("space", say("Space"), [(str(number), name) for number, name in names.items()])
        table = listed(visit.query, columns, rows, empty=say("There are no channels."), choices=[choice])
        return View(say("Channels"), [table], "life spaces channels", tabs=_tabs(say))

    async def channel(self, visit: Visit) -> View:
        """The messages of a channel, newest first; older ones page by page."""
        from life.spaces.model import Channel, Message, Profile
        from life.spaces.queries import History

        say = visit.say
        seat = await self._seat(say)
        if isinstance(seat, View):
            return seat
        channel_id = number(visit.part("channel_id"), 0)
        before = number(visit.query.get("before"), 0)
        channel = next((each for each in await _rows(seat, Channel, id=channel_id)), None)
        if channel is None:
            raise InvalidInputError("The agent sees no such channel.")
        answer = await seat.query(History(channel_id=channel_id, before=before or None, limit=_MOST_MESSAGES))
        messages = [row for row in answer.rows if isinstance(row, Message)]
        names = {profile.identity: profile.username for profile in await _rows(seat, Profile)}
        rows: list[Row] = [
            {
                "id": message.id,
                "time": message.created_us,
                "sender": names.get(message.sender, message.sender[:16]),
                "type": message.message_type.value,
                "content": message.content,
            }
            for message in sorted(messages, key=lambda message: -message.id)
        ]
        columns = [
            Column("time", say("Time (UTC)"), "time"),
            Column("sender", say("From")),
            Column("type", say("Kind"), "tag"),
            Column("content", say("Message"), "long"),
            Column("id", say("Number"), "number", shown=False),
        ]
        oldest = min((message.id for message in messages), default=0)
        table = Table(
            columns,
            rows,
            rows,
            say("Nobody has written here."),
            searches=False,
            previous="?" if before else "",
            following=f"?before={oldest}" if answer.more and oldest else "",
        )
        return View(f"#{channel.name}", [table], f"life spaces history {channel.name}", tabs=_tabs(say))

    async def members(self, visit: Visit) -> View:
        """Members of the spaces, with their roles and whether they are here."""
        from life.spaces.model import Member, Profile, Space

        say = visit.say
        seat = await self._seat(say)
        if isinstance(seat, View):
            return seat
        names = {space.id: space.name for space in await _rows(seat, Space)}
        people = {profile.identity: profile for profile in await _rows(seat, Profile)}
        found = await _rows(seat, Member)
        here = {each.identity: each.state for each in await seat.who([member.identity for member in found][:200])}
        rows: list[Row] = []
        for member in found:
            profile = people.get(member.identity)
            rows.append(
                {
                    "name": member.identity[:16] if profile is None else profile.username,
                    "role": member.role.value,
                    "space": str(member.space_id),
                    "space_name": names.get(member.space_id, ""),
                    "agent": profile is not None and profile.is_agent,
                    "presence": here.get(member.identity, "offline"),
                    "joined": member.joined_us,
                    "identity": member.identity,
                }
            )
        columns = [
            Column("name", say("Name")),
            Column("role", say("Role"), "tag"),
            Column("space_name", say("Space")),
            Column("agent", say("Agent"), "yes"),
            Column("presence", say("Here"), "tag", tone=lambda row: "good" if row["presence"] == "online" else ""),
            Column("joined", say("Since (UTC)"), "time"),
            Column("identity", say("Identity"), "code", shown=False),
            Column("space", say("Space number"), "number", shown=False),
        ]
        choice = Choice("space", say("Space"), [(str(number), name) for number, name in names.items()])
        table = listed(visit.query, columns, rows, empty=say("There are no members."), choices=[choice])
        return View(say("Members"), [table], "life spaces members", tabs=_tabs(say))

    async def peers(self, visit: Visit) -> View:
        """Agents of the directory, with what they do and cost."""
        from life.spaces.model import Health, Listing, Skill

        say = visit.say
        seat = await self._seat(say)
        if isinstance(seat, View):
            return seat
        health = {each.identity: each for each in await _rows(seat, Health)}
        skills: dict[str, list[str]] = {}
        for skill in await _rows(seat, Skill):
            skills.setdefault(skill.identity, []).append(skill.name)
        rows: list[Row] = []
        for each in await _rows(seat, Listing):
            state = health.get(each.identity)
            rows.append(
                {
                    "name": each.name,
                    "description": each.description,
                    "skills": skills.get(each.identity, []),
                    "price": each.price_per_request_micro,
                    "pricing": each.pricing_model,
                    "online": state is not None and state.is_online,
                    "score": None if state is None else state.score,
                    "url": each.url,
                    "identity": each.identity,
                }
            )
        columns = [
            Column("name", say("Agent")),
            Column("description", say("What it does")),
            Column("skills", say("Skills")),
            Column("price", say("Price per request"), "money"),
            Column("pricing", say("Paid"), "tag"),
            Column("online", say("Here"), "yes"),
            Column("score", say("Score"), "number"),
            Column("url", say("Address"), "code", shown=False),
            Column("identity", say("Identity"), "code", shown=False),
        ]
        table = listed(visit.query, columns, rows, empty=say("No agent has listed itself in the directory."))
        return View(say("Peers"), [table], "life spaces peers list", tabs=_tabs(say))

    async def tasks(self, visit: Visit) -> View:
        """Tasks between agents that this one gave or took, newest first."""
        from life.spaces.model import Task

        say = visit.say
        seat = await self._seat(say)
        if isinstance(seat, View):
            return seat
        rows: list[Row] = [
            {
                "task": task.task_id,
                "state": task.state,
                "mine": task.owner == seat.identity,
                "owner": task.owner,
                "agent": task.agent,
                "begun": task.created_us,
                "changed": task.updated_us,
            }
            for task in sorted(await _rows(seat, Task), key=lambda task: -task.updated_us)
        ]
        columns = [
            Column("task", say("Task"), "code"),
            Column("state", say("State"), "tag"),
            Column("mine", say("Given by this agent"), "yes"),
            Column("owner", say("Given by"), "code"),
            Column("agent", say("Taken by"), "code"),
            Column("begun", say("Begun (UTC)"), "time"),
            Column("changed", say("Changed (UTC)"), "time"),
        ]
        table = listed(visit.query, columns, rows, empty=say("The agent has given and taken no tasks."))
        return View(say("Tasks"), [table], "life spaces watch tasks:self", tabs=_tabs(say))

    async def log(self, visit: Visit) -> View:
        """Privileged actions, newest first; whoever may not moderate a space sees none of it."""
        from life.spaces.model import Audit, Profile, Space

        say = visit.say
        seat = await self._seat(say)
        if isinstance(seat, View):
            return seat
        names = {space.id: space.name for space in await _rows(seat, Space)}
        people = {profile.identity: profile.username for profile in await _rows(seat, Profile)}
        rows: list[Row] = [
            {
                "time": each.at_us,
                "actor": people.get(each.actor, each.actor[:16]),
                "action": each.action,
                "target": people.get(each.target, each.target),
                "reason": each.reason,
                "space_name": names.get(each.space_id, ""),
                "space": str(each.space_id),
                "id": each.id,
            }
            for each in sorted(await _rows(seat, Audit), key=lambda each: -each.id)
        ]
        columns = [
            Column("time", say("Time (UTC)"), "time"),
            Column("actor", say("Who")),
            Column("action", say("Did"), "code"),
            Column("target", say("To")),
            Column("reason", say("Reason")),
            Column("space_name", say("Space")),
            Column("space", say("Space number"), "number", shown=False),
            Column("id", say("Number"), "number", shown=False),
        ]
        choice = Choice("space", say("Space"), [(str(number), name) for number, name in names.items()])
        table = listed(
            visit.query,
            columns,
            rows,
            empty=say("Nothing was moderated where the agent may see it."),
            choices=[choice],
        )
        return View(say("Moderation log"), [table], "life spaces log SPACE --moderation", tabs=_tabs(say))

    async def _seat(self, say: Words) -> Seat | View:
        """The agent's seat; a page that says why there is none."""
        link = self._room.system.spaces
        if not link.is_on:
            note = Note(say("Spaces is off here: `spaces.place` in config.toml says where the agent meets others."))
            return View(say("Spaces"), [note], "life settings", tabs=_tabs(say))
        try:
            return await link.seat()
        except LifeError as error:
            blocks = [Note(f"{error.message} [{error.code}]", "bad")]
            if error.next_step:
                blocks.append(Note(error.next_step))
            return View(say("Spaces"), blocks, "life spaces list", tabs=_tabs(say), status=error.status)


async def _rows(seat: Seat, table: type[R], **where: int | str | bool) -> list[R]:
    """The rows of a table that the agent may see."""
    from life.spaces.queries import Rows, TableQuery

    query = TableQuery(table=str(table.__struct_config__.tag), where=dict(where))
    answer = await seat.query(Rows(tables=(query,)))
    return [row for row in answer.rows if isinstance(row, table)]


def _tabs(say: Words) -> tuple[Tab, ...]:
    return (
        Tab(say("Spaces"), "/spaces"),
        Tab(say("Channels"), "/spaces/channels"),
        Tab(say("Members"), "/spaces/members"),
        Tab(say("Peers"), "/spaces/peers"),
        Tab(say("Tasks"), "/spaces/tasks"),
        Tab(say("Moderation log"), "/spaces/log"),
    )
