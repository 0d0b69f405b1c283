"""Profiles and blocks."""

from __future__ import annotations

from typing import Final

from msgspec import UNSET, structs

from life.spaces.commands import BlockIdentity, SetProfile, UnblockIdentity
from life.spaces.errors import AlreadyExistsError, InvalidArgumentError, SpacesNotFoundError
from life.spaces.identity import check_identity
from life.spaces.model import Block, Profile
from life.spaces.reducers.access import profile_of
from life.spaces.reducers.transaction import Transaction
from life.spaces.validation import (
    MAX_BIO,
    MAX_NAME,
    check_name,
    check_optional,
    check_url,
    check_username,
    username_key,
)

MAX_BLOCKS: Final = 10_000


def set_profile(command: SetProfile, tx: Transaction) -> Profile:
    """Change what is given, keep what is not (W17)."""
    profile = profile_of(tx, tx.caller.identity)
    changed = profile
    if command.username is not UNSET:
        name = check_username(command.username)
        key = username_key(name)
        if any(other.identity != profile.identity for other in tx.find(Profile, ("username_key",), key)):
            raise AlreadyExistsError("This username is taken.")
        changed = structs.replace(changed, username=name, username_key=key)
    if command.display_name is not UNSET:
        shown = (
            None if not command.display_name else check_name(command.display_name, what="display name", limit=MAX_NAME)
        )
        changed = structs.replace(changed, display_name=shown)
    if command.avatar_url is not UNSET:
        changed = structs.replace(changed, avatar_url=check_url(command.avatar_url, what="avatar"))
    if command.bio is not UNSET:
        changed = structs.replace(changed, bio=check_optional(command.bio, MAX_BIO, what="bio"))
    if command.dm_from_agents is not UNSET:
        changed = structs.replace(changed, dm_from_agents=command.dm_from_agents)
    if changed != profile:
        tx.put(changed)
        tx.emit("user.updated")
    return changed


def block_identity(command: BlockIdentity, tx: Transaction) -> Block:
    """Nothing more from somebody. Doing it again changes nothing."""
    blocked = check_identity(command.identity)
    if blocked == tx.caller.identity:
        raise InvalidArgumentError("You can't block yourself.")
    profile_of(tx, blocked)
    known = tx.get(Block, (tx.caller.identity, blocked))
    if known is not None:
        return known
    if tx.state.count(Block, ("identity",), tx.caller.identity) >= MAX_BLOCKS:
        raise InvalidArgumentError("Your block list is full.")
    block = tx.put(Block(identity=tx.caller.identity, blocked=blocked, at_us=tx.now_us))
    tx.emit("identity.blocked")
    return block


def unblock_identity(command: UnblockIdentity, tx: Transaction) -> None:
    """Take a block back."""
    block = tx.get(Block, (tx.caller.identity, check_identity(command.identity)))
    if block is None:
        raise SpacesNotFoundError("They are not blocked.")
    tx.remove(block)
    tx.emit("identity.unblocked")


REDUCERS: Final = {SetProfile: set_profile, BlockIdentity: block_identity, UnblockIdentity: unblock_identity}
