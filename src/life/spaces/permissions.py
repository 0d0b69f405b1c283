"""Who may do what: the five-tier matrix as data, channel overrides, and the caller's ceiling (spaces.md §5.2).

A permission holds when the role has it (or an override of the channel allows it, and none denies it) and the caller's ceiling, where
there is one, contains it. Deny wins over allow, allow over the role. Ranks are checked besides: nobody acts on an equal or
higher level, nobody raises anyone to their own level.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from life.spaces.model import Role


class Permission(StrEnum):
    """What can be allowed or denied."""

    SPACE_DELETE = "space.delete"
    SPACE_TRANSFER = "space.transfer"
    SPACE_UPDATE = "space.update"
    INVITE_MANAGE = "invite.manage"
    AUDIT_READ = "audit.read"
    ROLE_ASSIGN = "role.assign"
    CHANNEL_MANAGE = "channel.manage"
    CHANNEL_SETTINGS = "channel.settings"
    CHANNEL_VIEW = "channel.view"
    MESSAGE_ANNOUNCE = "message.announce"
    MESSAGE_SEND = "message.send"
    LOG_WRITE = "log.write"
    LOG_READ = "log.read"
    MESSAGE_DELETE_ANY = "message.delete.any"
    THREAD_ARCHIVE_ANY = "thread.archive.any"
    MESSAGE_PIN = "message.pin"
    MEMBER_MUTE = "member.mute"
    MEMBER_KICK = "member.kick"
    MEMBER_BAN = "member.ban"
    THREAD_CREATE = "thread.create"
    REACTION_ADD = "reaction.add"
    VOICE_SIGNAL = "voice.signal"
    DM_SEND = "dm.send"
    MENTION_EVERYONE = "mention.everyone"
    DIRECTORY_PUBLISH = "directory.publish"


_O, _A, _M, _U, _G = Role.OWNER, Role.ADMIN, Role.MODERATOR, Role.MEMBER, Role.AGENT
_ALL: Final = frozenset(Role)

MATRIX: Final[Mapping[Permission, frozenset[Role]]] = {
    Permission.SPACE_DELETE: frozenset({_O}),
    Permission.SPACE_TRANSFER: frozenset({_O}),
    Permission.SPACE_UPDATE: frozenset({_O, _A}),
    Permission.INVITE_MANAGE: frozenset({_O, _A}),
    Permission.AUDIT_READ: frozenset({_O, _A}),
    Permission.ROLE_ASSIGN: frozenset({_O, _A, _M}),
    Permission.CHANNEL_MANAGE: frozenset({_O, _A}),
    Permission.CHANNEL_SETTINGS: frozenset({_O, _A, _M}),
    Permission.CHANNEL_VIEW: _ALL,
    Permission.MESSAGE_ANNOUNCE: frozenset({_O, _A}),
    Permission.MESSAGE_SEND: _ALL,
    Permission.LOG_WRITE: frozenset({_O, _A, _G}),
    Permission.LOG_READ: _ALL,
    Permission.MESSAGE_DELETE_ANY: frozenset({_O, _A, _M}),
    Permission.THREAD_ARCHIVE_ANY: frozenset({_O, _A, _M}),
    Permission.MESSAGE_PIN: frozenset({_O, _A, _M}),
    Permission.MEMBER_MUTE: frozenset({_O, _A, _M}),
    Permission.MEMBER_KICK: frozenset({_O, _A, _M}),
    Permission.MEMBER_BAN: frozenset({_O, _A}),
    Permission.THREAD_CREATE: _ALL,
    Permission.REACTION_ADD: _ALL,
    Permission.VOICE_SIGNAL: _ALL,
    Permission.DM_SEND: _ALL,
    Permission.MENTION_EVERYONE: frozenset({_O, _A, _M}),
    Permission.DIRECTORY_PUBLISH: frozenset({_O, _A, _G}),
}
"""The roles that have a permission. What the role alone does not decide is in `ASSIGNABLE` and in the reducers: an agent's direct
messages need the other's consent or a common space, and everybody publishes only their own listing."""

ASSIGNABLE: Final[Mapping[Role, frozenset[Role]]] = {
    _O: frozenset({_A, _M, _U, _G}),
    _A: frozenset({_M, _U, _G}),
    _M: frozenset({_U, _G}),
    _U: frozenset(),
    _G: frozenset(),
}
"""The roles that a role may give, and the roles of those it may give them to: always strictly below its own."""

IN_CHANNEL: Final = frozenset(
    {
        Permission.CHANNEL_SETTINGS,
        Permission.CHANNEL_VIEW,
        Permission.MESSAGE_ANNOUNCE,
        Permission.MESSAGE_SEND,
        Permission.LOG_WRITE,
        Permission.LOG_READ,
        Permission.MESSAGE_DELETE_ANY,
        Permission.THREAD_ARCHIVE_ANY,
        Permission.MESSAGE_PIN,
        Permission.THREAD_CREATE,
        Permission.REACTION_ADD,
        Permission.VOICE_SIGNAL,
        Permission.MENTION_EVERYONE,
    }
)
"""The permissions that a channel may override; the others are about the whole space."""


def role_allows(role: Role, permission: Permission) -> bool:
    """What the matrix says."""
    return role in MATRIX[permission]


def within_ceiling(permission: Permission, ceiling: frozenset[str] | None) -> bool:
    """Whether an agent's own policy lets it use a permission. `message.*` and `*` stand for several."""
    if ceiling is None or permission in ceiling or "*" in ceiling:
        return True
    return f"{permission.partition('.')[0]}.*" in ceiling


def resolve(role: Role, permission: Permission, effects: frozenset[str]) -> bool:
    """What remains after the overrides that apply: deny wins, then allow, then the role.

    An Owner can't be denied anything by an override: a space is never without somebody who can repair it.
    """
    if role is Role.OWNER:
        return role_allows(role, permission)
    if "deny" in effects:
        return False
    return "allow" in effects or role_allows(role, permission)
