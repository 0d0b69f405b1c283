"""The questions that nearly every reducer asks first. All of them are answered in the transaction of the write."""

from __future__ import annotations

from typing import NoReturn

from life.spaces.errors import (
    BannedError,
    ForbiddenError,
    MutedError,
    NotMemberError,
    RoleRankError,
    SpacesNotFoundError,
)
from life.spaces.model import (
    Audit,
    Ban,
    Channel,
    Member,
    Message,
    Mute,
    Notification,
    Profile,
    Role,
    Space,
    Thread,
)
from life.spaces.permissions import Permission, within_ceiling
from life.spaces.reducers.transaction import Transaction
from life.spaces.visibility import allows, can_act_on, can_read_channel

INBOX_LIMIT = 500
"""Entries kept in an inbox; the oldest makes room."""


def profile_of(tx: Transaction, identity: str) -> Profile:
    """Somebody's profile."""
    profile = tx.get(Profile, identity)
    if profile is None:
        raise SpacesNotFoundError("There is nobody with this identity.")
    return profile


def space_of(tx: Transaction, space_id: int) -> Space:
    """A space that the caller may know of."""
    space = tx.get(Space, space_id)
    if space is None or (space.visibility == "private" and tx.get(Member, (space_id, tx.caller.identity)) is None):
        raise SpacesNotFoundError("There is no such space.")
    return space


def member_of(tx: Transaction, space_id: int) -> Member:
    """The caller's membership."""
    member = tx.get(Member, (space_id, tx.caller.identity))
    if member is None:
        space_of(tx, space_id)
        raise NotMemberError("You are not a member of this space.")
    return member


def target_member(tx: Transaction, space_id: int, identity: str) -> Member:
    """Another one's membership."""
    member = tx.get(Member, (space_id, identity))
    if member is None:
        raise NotMemberError("They are not a member of this space.")
    return member


def require(tx: Transaction, member: Member, permission: Permission, *, channel_id: int = 0) -> None:
    """ForbiddenError unless the member may."""
    if not allows(tx.state, member, permission, channel_id=channel_id, ceiling=tx.caller.ceiling):
        forbid(permission)


def forbid(permission: Permission) -> NoReturn:
    """The refusal that names a permission."""
    raise ForbiddenError(f"This needs the permission {permission.value}.", details={"permission": permission.value})


def require_ceiling(tx: Transaction, permission: Permission) -> None:
    """ForbiddenError when the caller's own policy does not grant the permission."""
    if not within_ceiling(permission, tx.caller.ceiling):
        forbid(permission)


def require_rank(actor: Member, target: Role) -> None:
    """RoleRankError unless the target's level lies strictly below the actor's."""
    if not can_act_on(actor.role, target):
        raise RoleRankError("Nobody acts on somebody of the same or a higher level.")


def channel_of(tx: Transaction, channel_id: int) -> tuple[Channel, Member]:
    """A channel that the caller reads, with the membership."""
    channel = tx.get(Channel, channel_id)
    if channel is None:
        raise SpacesNotFoundError("There is no such channel.")
    member = tx.get(Member, (channel.space_id, tx.caller.identity))
    if member is None:
        space_of(tx, channel.space_id)
        raise NotMemberError("You are not a member of this space.")
    if not can_read_channel(tx.state, tx.caller.identity, channel, tx.caller.ceiling):
        raise SpacesNotFoundError("There is no such channel.")
    return channel, member


def message_of(tx: Transaction, message_id: int) -> tuple[Message, Channel, Member]:
    """A message in a channel that the caller reads."""
    message = tx.get(Message, message_id)
    if message is None:
        raise SpacesNotFoundError("There is no such message.")
    channel, member = channel_of(tx, message.channel_id)
    return message, channel, member


def thread_of(tx: Transaction, thread_id: int) -> tuple[Thread, Channel, Member]:
    """A thread in a channel that the caller reads."""
    thread = tx.get(Thread, thread_id)
    if thread is None:
        raise SpacesNotFoundError("There is no such thread.")
    channel, member = channel_of(tx, thread.channel_id)
    return thread, channel, member


def require_voice(tx: Transaction, channel: Channel) -> None:
    """MutedError while the caller is muted here."""
    for place in (0, channel.id):
        mute = tx.get(Mute, (channel.space_id, tx.caller.identity, place))
        if mute is not None and mute.until_us > tx.now_us:
            raise MutedError("You are muted here.", details={"until_us": mute.until_us})


def require_not_banned(tx: Transaction, space_id: int, identity: str, did: str) -> None:
    """BannedError while somebody is kept out, by identity or by the root DID."""
    for ban in tx.find(Ban, ("space_id",), space_id):
        if (ban.identity == identity or (did and ban.did == did)) and (
            ban.until_us is None or ban.until_us > tx.now_us
        ):
            raise BannedError("You are banned from this space.")


def audit(
    tx: Transaction,
    space_id: int,
    action: str,
    target: str,
    *,
    reason: str | None = None,
    before: str | None = None,
    after: str | None = None,
) -> None:
    """A line of the moderation log, in the event that follows."""
    tx.put(
        Audit(
            id=tx.next_id(Audit),
            space_id=space_id,
            actor=tx.caller.identity,
            action=action,
            target=target,
            reason=reason,
            before=before,
            after=after,
            at_us=tx.now_us,
        )
    )


def notify(tx: Transaction, target: str, kind: str, title: str, *, body: str = "", ref: str) -> None:
    """An inbox entry, as an event of its own."""
    if target == tx.caller.identity:
        return
    waiting = tx.state.ordered(Notification, ("target",), target)
    if len(waiting) >= INBOX_LIMIT:
        oldest = tx.get(Notification, waiting[0])
        if oldest is not None:
            tx.remove(oldest)
    tx.put(
        Notification(
            id=tx.next_id(Notification),
            target=target,
            kind=kind,
            title=title,
            body=body,
            ref=ref,
            created_us=tx.now_us,
        )
    )
    tx.emit("notification.created")


def name_of(tx: Transaction, identity: str) -> str:
    """A name to show."""
    profile = tx.get(Profile, identity)
    return profile.username if profile is not None else "the server"
