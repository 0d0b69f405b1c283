"""What the server does itself: the first entry, newcomers, expiry, erasure."""

from __future__ import annotations

from typing import Final

from life.spaces.commands import Admit, Initialize, PurgeIdentity, Sweep
from life.spaces.errors import ForbiddenError, SpacesConflictError
from life.spaces.identity import check_identity, default_username
from life.spaces.model import (
    Ban,
    Block,
    Channel,
    ChannelType,
    DirectMessage,
    Idempotency,
    Invite,
    Listing,
    Member,
    MessageType,
    Mute,
    Notification,
    Participant,
    Profile,
    ReadState,
    Role,
    Row,
    Space,
    UserKey,
    VoiceMember,
    key_values,
)
from life.spaces.reducers.access import name_of, profile_of
from life.spaces.reducers.cascades import remove_member
from life.spaces.reducers.directory import remove_listing
from life.spaces.reducers.repeats import HOUR_US
from life.spaces.reducers.server_messages import write_notice
from life.spaces.reducers.spaces import HUB_ID, open_space
from life.spaces.reducers.transaction import Transaction
from life.spaces.state import key_of
from life.spaces.validation import check_name, username_key

MAX_KEYS: Final = 100
"""Keys of one identity that are remembered; the oldest makes room."""


def initialize(command: Initialize, tx: Transaction) -> Space:
    """The Hub with `general`, `agent-logs` and `system`, and its Owner (W2)."""
    if tx.get(Space, HUB_ID) is not None:
        raise SpacesConflictError("This log has its Hub already.")
    owner = check_identity(command.owner)
    _make_profile(tx, owner, command.owner_did, is_agent=command.owner_is_agent)
    tx.emit("user.joined")
    space = open_space(
        tx, owner=owner, name=check_name(command.hub_name, what="name"), description=None, visibility="public"
    )
    kinds = (("general", ChannelType.TEXT), ("agent-logs", ChannelType.AGENT_LOG), ("system", ChannelType.ANNOUNCEMENT))
    for position, (name, kind) in enumerate(kinds):
        tx.put(
            Channel(
                id=tx.next_id(Channel),
                space_id=space.id,
                name=name,
                channel_type=kind,
                position=position,
                created_us=tx.now_us,
            )
        )
    tx.emit("space.created", space_id=space.id)
    return space


def admit(command: Admit, tx: Transaction) -> Profile:
    """Make the profile, note the key, join the Hub at the first time."""
    identity = check_identity(command.identity)
    known = tx.get(Profile, identity)
    profile = known
    if profile is None:
        profile = _make_profile(tx, identity, command.did, is_agent=command.is_agent)
        tx.emit("user.joined")
    if command.key and tx.get(UserKey, (identity, command.key)) is None:
        keys = sorted(tx.find(UserKey, ("identity",), identity), key=lambda row: (row.since_us, row.key))
        for old in keys[: max(0, len(keys) - MAX_KEYS + 1)]:
            tx.remove(old)
        tx.put(UserKey(identity=identity, key=command.key, since_us=tx.now_us))
        tx.emit("user.key_seen")
    if known is None and tx.get(Space, HUB_ID) is not None and tx.get(Member, (HUB_ID, identity)) is None:
        role = Role.AGENT if profile.is_agent else Role.MEMBER
        tx.put(Member(space_id=HUB_ID, identity=identity, role=role, joined_us=tx.now_us))
        tx.emit("space.member_joined", space_id=HUB_ID)
        write_notice(tx, HUB_ID, MessageType.JOIN, f"{name_of(tx, identity)} joined")
    return profile


def _make_profile(tx: Transaction, identity: str, did: str, *, is_agent: bool) -> Profile:
    plain = name = default_username(identity, is_agent=is_agent)
    number = 1
    while tx.find(Profile, ("username_key",), username_key(name)):  # somebody may have taken it on purpose
        number += 1
        name = f"{plain}-{number}"
    return tx.put(
        Profile(
            identity=identity,
            username=name,
            username_key=username_key(name),
            did=did,
            is_agent=is_agent,
            created_us=tx.now_us,
        )
    )


def sweep(command: Sweep, tx: Transaction) -> None:
    """Remove what has expired, table by table, at most `limit` rows. Nothing to remove makes no entry."""
    left = command.limit
    expiring: list[tuple[VoiceMember | Mute, str]] = [
        *((row, "voice.left") for row in tx.state.table(VoiceMember).values()),
        *((row, "space.member_unmuted") for row in tx.state.table(Mute).values()),
    ]
    for row, kind in sorted(expiring, key=lambda pair: (pair[0].until_us, pair[1], key_values(pair[0]))):
        if left and row.until_us <= tx.now_us:
            tx.remove(row)
            tx.emit(kind, space_id=row.space_id, channel_id=row.channel_id)
            left -= 1
    for ban in sorted(tx.state.table(Ban).values(), key=lambda row: (row.space_id, row.identity)):
        if left and ban.until_us is not None and ban.until_us <= tx.now_us:
            tx.remove(ban)
            tx.emit("space.member_unbanned", space_id=ban.space_id)
            left -= 1
    for invite in sorted(tx.state.table(Invite).values(), key=lambda row: row.code):
        if left and invite.expires_us is not None and invite.expires_us <= tx.now_us:
            tx.remove(invite)
            tx.emit("invite.revoked", space_id=invite.space_id)
            left -= 1
    forgotten = [row for hour in _expired_hours(tx) for row in tx.find(Idempotency, ("expires_hour",), hour)][:left]
    for spent in forgotten:
        tx.remove(spent)
    if forgotten:
        tx.emit("command.forgotten")


def _expired_hours(tx: Transaction) -> list[int]:
    return sorted(
        hour
        for hour in tx.state.values_of(Idempotency, ("expires_hour",))
        if isinstance(hour, int) and hour * HOUR_US <= tx.now_us
    )


def purge_identity(command: PurgeIdentity, tx: Transaction) -> None:
    """Erase somebody: profile texts, direct messages' contents, blocks, read states, inbox, keys, listing and memberships.

    Messages in spaces stay with the spaces, under a name that says nothing. Owners hand their spaces over first.
    """
    identity = check_identity(command.identity)
    if tx.caller.kind != "system" and tx.caller.identity != identity:
        raise ForbiddenError("Everybody erases only themselves.")
    profile = profile_of(tx, identity)
    members = tx.find(Member, ("identity",), identity)
    if any(member.role is Role.OWNER for member in members):
        raise SpacesConflictError("The Owner hands their spaces over first.")
    for member in members:
        remove_member(tx, member)
        tx.emit("space.member_left", space_id=member.space_id)
    for participant in tx.find(Participant, ("identity",), identity):
        place = participant.conversation_id
        for key in tx.state.ordered(DirectMessage, ("conversation_id",), place):
            message = tx.get(DirectMessage, key)
            if message is not None and message.sender == identity:
                tx.remove(message)
        tx.emit("dm.deleted", conversation_id=place)
    own: list[Row] = [
        *tx.find(Block, ("identity",), identity),
        *tx.find(ReadState, ("identity",), identity),
        *tx.find(UserKey, ("identity",), identity),
        *tx.find(VoiceMember, ("identity",), identity),
    ]
    for key in tx.state.ordered(Notification, ("target",), identity):
        entry = tx.get(Notification, key)
        if entry is not None:
            own.append(entry)
    for row in own:
        if tx.get(type(row), key_of(row)) is not None:
            tx.remove(row)
    listing = tx.get(Listing, identity)
    if listing is not None:
        remove_listing(tx, listing)
    name = default_username(identity, is_agent=profile.is_agent)
    tx.remove(profile)
    tx.emit("user.purged")
    taken = [other for other in tx.find(Profile, ("username_key",), username_key(name)) if other.identity != identity]
    tx.put(
        Profile(
            identity=identity,
            username=f"{name}-gone" if taken else name,
            username_key=username_key(f"{name}-gone" if taken else name),
            did=profile.did,
            is_agent=profile.is_agent,
            created_us=profile.created_us,
        )
    )
    tx.emit("user.updated")


REDUCERS: Final = {Initialize: initialize, Admit: admit, Sweep: sweep, PurgeIdentity: purge_identity}
