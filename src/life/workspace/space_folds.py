"""The part of the page's fold that follows Spaces: whom the agent met, what was said, and who works for whom, for what (`spaces.*`).

A hire is told by `spaces.hired` and then by every `spaces.hire_changed`: the newest counts. What others wrote is text here as everywhere.
"""

from __future__ import annotations

from typing import Final

from life.aios.json import Json
from life.aios.record import EventRecord
from life.workspace.rows import last, push
from life.workspace.run_folds import Step
from life.workspace.state import State
from life.workspace.surroundings import Channel, Contact, Hire, Said
from life.workspace.values import Fields, count, fields, items, known, short, text, texts, truth


def peers_found(state: State, event: Fields, _record: EventRecord) -> None:
    """A look into the directory."""
    for item in items(event.get("peers"))[:50]:
        told = fields(item)
        row = _met(state, told)
        if row is not None:
            row.skills = [short(skill, 100) for skill in texts(told.get("skills"))]
            row.price_micro, row.trust_micro = known(told.get("price_micro")), known(told.get("trust_micro"))
            if "online" in told:
                row.presence = "online" if truth(told.get("online")) else "offline"


def channels_seen(state: State, event: Fields, _record: EventRecord) -> None:
    """A list of channels."""
    for item in items(event.get("channels"))[:100]:
        told = fields(item)
        _in_channel(state, count(told.get("id")), event, short(told.get("name"), 100), text(told.get("type")))


def channel_created(state: State, event: Fields, _record: EventRecord) -> None:
    """A channel of the agent's own."""
    _in_channel(state, count(event.get("channel_id")), event, short(event.get("name"), 100))


def message_sent(state: State, event: Fields, _record: EventRecord) -> None:
    """The agent said something."""
    place = short(event.get("channel"), 100)
    channel = count(event.get("channel_id"))
    _in_channel(state, channel, event, place)
    _say(state, "message", event, channel, place, _id(event.get("message_id")), event.get("text"))


def messages_read(state: State, event: Fields, _record: EventRecord) -> None:
    """The agent read a channel."""
    place = short(event.get("channel"), 100)
    channel = count(event.get("channel_id"))
    _in_channel(state, channel, event, place)
    _heard(state, "message", event, channel, place)


def dm_sent(state: State, event: Fields, _record: EventRecord) -> None:
    """The agent wrote to somebody."""
    peer = fields(event.get("peer"))
    _met(state, peer)
    _say(state, "dm", event, 0, short(peer.get("name"), 100), _id(event.get("message_id")), event.get("text"))


def dms_read(state: State, event: Fields, _record: EventRecord) -> None:
    """The agent read what somebody wrote to it."""
    peer = fields(event.get("peer"))
    _met(state, peer)
    _heard(state, "dm", event, 0, short(peer.get("name"), 100))


def logged(state: State, event: Fields, _record: EventRecord) -> None:
    """A signed entry in a log channel."""
    _say(state, "log", event, count(event.get("channel_id")), "", _id(event.get("message_id")), event.get("kind"))


def asked(state: State, event: Fields, _record: EventRecord) -> None:
    """A question to somebody, and perhaps the answer."""
    peer = fields(event.get("peer"))
    _met(state, peer)
    name, ask = short(peer.get("name"), 100), text(event.get("ask_id"))
    _say(state, "question", event, 0, name, ask, event.get("question"))
    if text(event.get("answer")):
        _say(state, "answer", event, 0, name, ask, event.get("answer"), who=name)


def hired(state: State, event: Fields, _record: EventRecord) -> None:
    """Work was offered, and its price put aside."""
    peer = fields(event.get("peer"))
    _met(state, peer)
    _hire(state, event, peer)


def hire_changed(state: State, event: Fields, _record: EventRecord) -> None:
    """How a hire stands now."""
    peer = fields(event.get("peer"))
    _met(state, peer)
    row = _hire(state, event, peer)
    row.paid_micro, row.refunded_micro = count(event.get("paid_micro")), count(event.get("refunded_micro"))
    row.reason = short(event.get("reason"), 500) or row.reason
    row.result = short(event.get("result"), 500) or row.result


def peer_hired(state: State, event: Fields, _record: EventRecord) -> None:
    """A demo's stand-in was hired and paid at once: nothing was held in between."""
    name = short(event.get("peer"), 100)
    _met(state, {"name": name, "is_agent": True})
    hire = Hire(
        seq=state.seq,
        id=f"demo/{state.seq}",
        role="customer",
        peer=name,
        name=name,
        title=short(event.get("task"), 200),
        state=text(event.get("state")),
        price_micro=count(event.get("price_micro")),
        paid_micro=count(event.get("price_micro")),
        escrow="none",
        result=short(event.get("delivered"), 500),
    )
    push(state.hires, hire, "hires")


def rated(state: State, event: Fields, _record: EventRecord) -> None:
    """The agent's word on work that is over, and its trust afterwards."""
    contact = _met(state, fields(event.get("peer")))
    stars, hire = count(event.get("stars")), text(event.get("hire_id"))
    if contact is not None:
        contact.stars = stars
        trust = known(event.get("trust_micro"))
        contact.trust_micro = contact.trust_micro if trust < 0 else trust
    row = last(state.hires, lambda each: each.id == hire)
    if row is not None:
        row.stars = stars


def _met(state: State, told: Fields) -> Contact | None:
    """The contact of a peer that an event names."""
    identity = short(told.get("identity"), 100) or short(told.get("name"), 100)
    if not identity:
        return None
    row = last(state.contacts, lambda each: each.id == identity)
    name = short(told.get("name"), 100)
    if row is None:
        row = Contact(seq=state.seq, id=identity, name=name, agent=truth(told.get("is_agent")), skills=[])
        push(state.contacts, row, "contacts")
        return row
    row.seq, row.name, row.agent = state.seq, name or row.name, truth(told.get("is_agent"))
    return row


def _in_channel(state: State, channel: int, event: Fields, name: str, type_: str = "") -> None:
    row = last(state.channels, lambda each: each.id == channel)
    if row is None:
        made = Channel(seq=state.seq, id=channel, space=count(event.get("space_id")), name=name, type=type_)
        push(state.channels, made, "channels")
        return
    row.seq, row.name, row.type = state.seq, name or row.name, type_ or row.type


def _say(
    state: State, kind: str, event: Fields, channel: int, place: str, said_id: str, words: Json, *, who: str = ""
) -> None:
    """Something that was said, once however often it is told. Without `who` the agent said it."""
    if last(state.talk, lambda row: row.kind == kind and row.id == said_id and row.channel == channel) is not None:
        return
    row = Said(
        seq=state.seq,
        kind=kind,
        id=said_id,
        channel=channel,
        place=place,
        who=who,
        mine=not who,
        text=short(words, 500),
        at_us=count(event.get("at_us")),
    )
    push(state.talk, row, "talk")


def _heard(state: State, kind: str, event: Fields, channel: int, place: str) -> None:
    for item in items(event.get("last"))[:5]:
        told = fields(item)
        speaker = short(fields(told.get("from")).get("name"), 100) or "?"
        _say(state, kind, told, channel, place, _id(told.get("message_id")), told.get("text"), who=speaker)


def _hire(state: State, event: Fields, peer: Fields) -> Hire:
    hire = text(event.get("hire_id"))
    row = last(state.hires, lambda each: each.id == hire)
    if row is None:
        row = Hire(
            seq=state.seq,
            id=hire,
            role=text(event.get("role")),
            peer=short(peer.get("identity"), 100),
            name=short(peer.get("name"), 100),
            title=short(event.get("title"), 200),
            state="",
            price_micro=count(event.get("price_micro")),
        )
        push(state.hires, row, "hires")
    row.seq, row.state, row.escrow = state.seq, text(event.get("state")), text(event.get("escrow"))
    return row


def _id(value: Json) -> str:
    """A message's number, as text."""
    return str(count(value))


SPACES: Final[dict[str, Step]] = {
    "spaces.peers_found": peers_found,
    "spaces.channels_seen": channels_seen,
    "spaces.channel_created": channel_created,
    "spaces.message_sent": message_sent,
    "spaces.messages_read": messages_read,
    "spaces.dm_sent": dm_sent,
    "spaces.dms_read": dms_read,
    "spaces.logged": logged,
    "spaces.asked": asked,
    "spaces.hired": hired,
    "spaces.hire_changed": hire_changed,
    "spaces.rated": rated,
    "demo.peers_found": peers_found,
    "demo.peer_hired": peer_hired,
}
