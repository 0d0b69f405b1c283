"""Joining, leaving, roles and invitations."""

from __future__ import annotations

import base64
from typing import Final

from msgspec import structs

from life.spaces.commands import (
    CreateInvite,
    JoinServer,
    LeaveServer,
    RevokeInvite,
    UpdateMemberRole,
    UseInvite,
)
from life.spaces.errors import (
    AlreadyExistsError,
    ForbiddenError,
    InvalidArgumentError,
    RoleRankError,
    SpacesConflictError,
    SpacesNotFoundError,
)
from life.spaces.identity import check_identity
from life.spaces.model import Invite, Member, MessageType, Role, Space
from life.spaces.permissions import ASSIGNABLE, Permission
from life.spaces.reducers.access import (
    audit,
    member_of,
    name_of,
    notify,
    profile_of,
    require,
    require_not_banned,
    require_rank,
    space_of,
    target_member,
)
from life.spaces.reducers.cascades import remove_member
from life.spaces.reducers.server_messages import write_notice
from life.spaces.reducers.transaction import Transaction
from life.spaces.validation import check_number

MAX_JOINED: Final = 1000
"""Spaces that one identity may be in."""
MAX_INVITES: Final = 1000
"""Open invites of one space."""
MAX_LIFETIME_S: Final = 365 * 86_400


def join_server(command: JoinServer, tx: Transaction) -> Member:
    """Join a public space, as Agent or Member according to one's profile (W16)."""
    space = space_of(tx, command.server_id)
    if space.visibility != "public":
        raise ForbiddenError("This space is entered by invitation.")
    member = enter(tx, space, _own_role(tx))
    tx.emit("space.member_joined", space_id=space.id)
    _greet(tx, space.id)
    return member


def enter(tx: Transaction, space: Space, role: Role) -> Member:
    """The membership row of the caller; the caller of this emits the event."""
    profile = profile_of(tx, tx.caller.identity)
    if tx.get(Member, (space.id, profile.identity)) is not None:
        raise AlreadyExistsError("You are a member already.")
    require_not_banned(tx, space.id, profile.identity, profile.did)
    if tx.state.count(Member, ("identity",), profile.identity) >= MAX_JOINED:
        raise SpacesConflictError(f"Nobody is in more than {MAX_JOINED} spaces.")
    return tx.put(Member(space_id=space.id, identity=profile.identity, role=role, joined_us=tx.now_us))


def _own_role(tx: Transaction) -> Role:
    return Role.AGENT if profile_of(tx, tx.caller.identity).is_agent else Role.MEMBER


def _greet(tx: Transaction, space_id: int) -> None:
    write_notice(tx, space_id, MessageType.JOIN, f"{name_of(tx, tx.caller.identity)} joined")


def leave_server(command: LeaveServer, tx: Transaction) -> None:
    """Leave. The Owner hands over first."""
    member = member_of(tx, command.server_id)
    if member.role is Role.OWNER:
        raise SpacesConflictError("The Owner hands the space over before leaving it.")
    remove_member(tx, member)
    tx.emit("space.member_left", space_id=member.space_id)
    write_notice(tx, member.space_id, MessageType.LEAVE, f"{name_of(tx, member.identity)} left")


def update_member_role(command: UpdateMemberRole, tx: Transaction) -> Member:
    """Give somebody of a lower level another role below one's own."""
    member = member_of(tx, command.server_id)
    require(tx, member, Permission.ROLE_ASSIGN)
    target = target_member(tx, command.server_id, check_identity(command.identity))
    require_rank(member, target.role)
    if target.role not in ASSIGNABLE[member.role] or command.role not in ASSIGNABLE[member.role]:
        raise RoleRankError("Nobody raises anyone to their own level, or above it.")
    if target.role is command.role:
        return target
    changed = tx.put(structs.replace(target, role=command.role))
    audit(
        tx,
        member.space_id,
        "role.assign",
        f"identity:{target.identity}",
        before=target.role.value,
        after=command.role.value,
    )
    tx.emit("space.role_changed", space_id=member.space_id)
    space = space_of(tx, member.space_id)
    title = f"You are {command.role.value} in {space.name} now"
    notify(tx, target.identity, "role", title, ref=f"space:{space.id}")
    return changed


def create_invite(command: CreateInvite, tx: Transaction) -> Invite:
    """A code for a role below one's own. The code is 100 bits of the nonce that came with the command."""
    member = member_of(tx, command.server_id)
    require(tx, member, Permission.INVITE_MANAGE)
    if command.role not in ASSIGNABLE[member.role]:
        raise RoleRankError("An invite grants a role below the inviter's.")
    check_number(command.max_uses, what="number of uses", most=1_000_000)
    check_number(command.lifetime_s, what="lifetime", most=MAX_LIFETIME_S)
    if tx.state.count(Invite, ("space_id",), member.space_id) >= MAX_INVITES:
        raise SpacesConflictError("The space has too many open invites.")
    code = base64.b32encode(tx.nonce[:15]).decode().lower()[:20]
    invite = tx.put(
        Invite(
            code=code,
            space_id=member.space_id,
            role=command.role,
            max_uses=command.max_uses,
            expires_us=tx.now_us + command.lifetime_s * 1_000_000 if command.lifetime_s else None,
            created_by=member.identity,
            created_us=tx.now_us,
        )
    )
    audit(tx, member.space_id, "invite.create", "invite", after=f"{command.role.value}, {command.max_uses} uses")
    tx.emit("invite.created", space_id=member.space_id)
    return invite


def revoke_invite(command: RevokeInvite, tx: Transaction) -> None:
    """Make a code worthless."""
    invite = _invite(tx, command.code)
    member = tx.get(Member, (invite.space_id, tx.caller.identity))
    if member is None:
        raise SpacesNotFoundError("There is no such invite.")
    require(tx, member, Permission.INVITE_MANAGE)
    tx.remove(invite)
    audit(tx, invite.space_id, "invite.revoke", "invite")
    tx.emit("invite.revoked", space_id=invite.space_id)


def use_invite(command: UseInvite, tx: Transaction) -> Member:
    """Join by a code. Agents get the role Agent unless the invite grants more than Member; a code of a demoted inviter is worthless."""
    invite = _invite(tx, command.code)
    space = tx.get(Space, invite.space_id)
    inviter = tx.get(Member, (invite.space_id, invite.created_by))
    if space is None or (invite.expires_us is not None and invite.expires_us <= tx.now_us):
        raise SpacesNotFoundError("There is no such invite.")
    if inviter is None or invite.role not in ASSIGNABLE[inviter.role]:
        raise SpacesNotFoundError("There is no such invite.")
    role = _own_role(tx) if invite.role is Role.MEMBER else invite.role
    member = enter(tx, space, role)
    if invite.max_uses and invite.uses + 1 >= invite.max_uses:
        tx.remove(invite)
    else:
        tx.put(structs.replace(invite, uses=invite.uses + 1))
    tx.emit("invite.used", space_id=space.id)
    _greet(tx, space.id)
    return member


def _invite(tx: Transaction, code: str) -> Invite:
    if not 1 <= len(code) <= 64:
        raise InvalidArgumentError("An invite code has 1 to 64 characters.")
    invite = tx.get(Invite, code.strip().lower())
    if invite is None:
        raise SpacesNotFoundError("There is no such invite.")
    return invite


REDUCERS: Final = {
    JoinServer: join_server,
    LeaveServer: leave_server,
    UpdateMemberRole: update_member_role,
    CreateInvite: create_invite,
    RevokeInvite: revoke_invite,
    UseInvite: use_invite,
}
