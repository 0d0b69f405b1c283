"""Spaces as a whole: create, describe, delete, hand over."""

from __future__ import annotations

from typing import Final

from msgspec import UNSET, structs

from life.spaces.commands import (
    CreateServer,
    DeleteServer,
    SetIcon,
    SetSpaceVisibility,
    TransferOwnership,
    UpdateServer,
)
from life.spaces.errors import ForbiddenError, InvalidArgumentError, SpacesConflictError
from life.spaces.identity import check_identity
from life.spaces.model import Channel, Member, MessageType, Role, Space
from life.spaces.permissions import Permission
from life.spaces.reducers.access import (
    audit,
    member_of,
    name_of,
    notify,
    profile_of,
    require,
    require_ceiling,
    space_of,
    target_member,
)
from life.spaces.reducers.cascades import remove_space
from life.spaces.reducers.server_messages import write_notice
from life.spaces.reducers.transaction import Transaction
from life.spaces.validation import MAX_DESCRIPTION, check_name, check_optional, check_url

HUB_ID: Final = 1
"""The space that everybody enters at first; known by its id, never by a name (W3)."""
MAX_OWNED: Final = 100
"""Spaces that one identity may own."""


def create_server(command: CreateServer, tx: Transaction) -> Space:
    """A space with its Owner as a member and one channel."""
    profile_of(tx, tx.caller.identity)
    require_ceiling(tx, Permission.SPACE_UPDATE)
    owned = sum(member.role is Role.OWNER for member in tx.find(Member, ("identity",), tx.caller.identity))
    if owned >= MAX_OWNED:
        raise SpacesConflictError(f"Nobody owns more than {MAX_OWNED} spaces.")
    space = open_space(
        tx,
        owner=tx.caller.identity,
        name=check_name(command.name, what="space's name"),
        description=check_optional(command.description, MAX_DESCRIPTION, what="description"),
        visibility=command.visibility,
    )
    tx.put(Channel(id=tx.next_id(Channel), space_id=space.id, name="general", position=0, created_us=tx.now_us))
    tx.emit("space.created", space_id=space.id)
    return space


def open_space(tx: Transaction, *, owner: str, name: str, description: str | None, visibility: str) -> Space:
    """The rows of a space and its Owner; the caller emits the event."""
    space = tx.put(
        Space(
            id=tx.next_id(Space),
            name=name,
            description=description,
            owner=owner,
            visibility=visibility,  # type: ignore[arg-type]  # checked when the command was decoded
            created_us=tx.now_us,
        )
    )
    tx.put(Member(space_id=space.id, identity=owner, role=Role.OWNER, joined_us=tx.now_us))
    return space


def update_server(command: UpdateServer, tx: Transaction) -> Space:
    """Rename or describe."""
    member = member_of(tx, command.server_id)
    require(tx, member, Permission.SPACE_UPDATE)
    space = space_of(tx, command.server_id)
    changed = space
    if command.name is not UNSET:
        changed = structs.replace(changed, name=check_name(command.name, what="space's name"))
    if command.description is not UNSET:
        text = check_optional(command.description, MAX_DESCRIPTION, what="description")
        changed = structs.replace(changed, description=text)
    return _changed(tx, space, changed, "space.update")


def set_icon(command: SetIcon, tx: Transaction) -> Space:
    """Set or clear the icon."""
    require(tx, member_of(tx, command.server_id), Permission.SPACE_UPDATE)
    space = space_of(tx, command.server_id)
    return _changed(
        tx, space, structs.replace(space, icon_url=check_url(command.icon_url, what="icon")), "space.set_icon"
    )


def set_space_visibility(command: SetSpaceVisibility, tx: Transaction) -> Space:
    """Who may find and join the space. The Hub stays public."""
    require(tx, member_of(tx, command.server_id), Permission.SPACE_UPDATE)
    space = space_of(tx, command.server_id)
    if space.id == HUB_ID and command.visibility != "public":
        raise ForbiddenError("The Hub is public.")
    return _changed(tx, space, structs.replace(space, visibility=command.visibility), "space.set_visibility")


def _changed(tx: Transaction, before: Space, after: Space, action: str) -> Space:
    if before != after:
        tx.put(after)
        audit(tx, after.id, action, f"space:{after.id}", before=_told(before), after=_told(after))
        tx.emit("space.updated", space_id=after.id)
    return after


def _told(space: Space) -> str:
    return f"{space.name} ({space.visibility})"


def delete_server(command: DeleteServer, tx: Transaction) -> None:
    """Delete with everything in it (W14)."""
    require(tx, member_of(tx, command.server_id), Permission.SPACE_DELETE)
    if command.server_id == HUB_ID:
        raise ForbiddenError("The Hub can't be deleted.")
    space = space_of(tx, command.server_id)
    remove_space(tx, space)
    tx.emit("space.deleted", space_id=space.id)


def transfer_ownership(command: TransferOwnership, tx: Transaction) -> Space:
    """Another member becomes the Owner, the old one Admin: always exactly one."""
    member = member_of(tx, command.server_id)
    require(tx, member, Permission.SPACE_TRANSFER)
    target = target_member(tx, command.server_id, check_identity(command.identity))
    if target.identity == member.identity:
        raise InvalidArgumentError("You are the Owner already.")
    space = space_of(tx, command.server_id)
    tx.put(structs.replace(member, role=Role.ADMIN))
    tx.put(structs.replace(target, role=Role.OWNER))
    changed = tx.put(structs.replace(space, owner=target.identity))
    audit(tx, space.id, "space.transfer", f"identity:{target.identity}", before=member.identity, after=target.identity)
    tx.emit("space.transferred", space_id=space.id)
    notify(tx, target.identity, "role", f"You own {space.name} now", ref=f"space:{space.id}")
    words = f"{name_of(tx, member.identity)} handed the space over to {name_of(tx, target.identity)}"
    write_notice(tx, space.id, MessageType.SYSTEM, words)
    return changed


REDUCERS: Final = {
    CreateServer: create_server,
    UpdateServer: update_server,
    SetIcon: set_icon,
    SetSpaceVisibility: set_space_visibility,
    DeleteServer: delete_server,
    TransferOwnership: transfer_ownership,
}
