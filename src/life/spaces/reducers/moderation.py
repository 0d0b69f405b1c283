"""Kick, ban, mute, reports: every privileged action leaves a line in the moderation log (W7, W11)."""

from __future__ import annotations

from typing import Final

from msgspec import structs

from life.spaces.commands import (
    BanMember,
    KickMember,
    MuteMember,
    ReportMessage,
    ResolveReport,
    UnbanMember,
    UnmuteMember,
)
from life.spaces.errors import AlreadyExistsError, RoleRankError, SpacesConflictError, SpacesNotFoundError
from life.spaces.identity import check_identity
from life.spaces.model import Ban, Channel, Member, MessageType, Mute, Report
from life.spaces.permissions import Permission
from life.spaces.reducers.access import (
    audit,
    member_of,
    message_of,
    name_of,
    notify,
    profile_of,
    require,
    require_rank,
    space_of,
    target_member,
)
from life.spaces.reducers.cascades import remove_member
from life.spaces.reducers.server_messages import write_notice
from life.spaces.reducers.transaction import Transaction
from life.spaces.validation import MAX_REASON, check_number, check_optional, check_text

MAX_MUTE_S: Final = 28 * 86_400
MAX_BAN_S: Final = 10 * 365 * 86_400
MAX_REPORTS: Final = 1000
"""Open reports of one space; and 20 of one member."""
_PER_MEMBER: Final = 20


def kick_member(command: KickMember, tx: Transaction) -> None:
    """Remove a member of a lower level."""
    member = member_of(tx, command.server_id)
    require(tx, member, Permission.MEMBER_KICK)
    target = target_member(tx, command.server_id, check_identity(command.identity))
    require_rank(member, target.role)
    reason = check_optional(command.reason, MAX_REASON, what="reason")
    _remove(tx, target, "kicked")
    audit(tx, member.space_id, "member.kick", f"identity:{target.identity}", reason=reason, before=target.role.value)
    tx.emit("space.member_kicked", space_id=member.space_id)
    _tell(tx, member.space_id, target.identity, "removed from", reason)


def ban_member(command: BanMember, tx: Transaction) -> Ban:
    """Remove somebody of a lower level, member or not, and keep them out: the identity, and whoever else shares its root DID."""
    member = member_of(tx, command.server_id)
    require(tx, member, Permission.MEMBER_BAN)
    identity = check_identity(command.identity)
    profile = profile_of(tx, identity)
    if identity == member.identity:
        raise RoleRankError("You can't ban yourself.")
    reason = check_optional(command.reason, MAX_REASON, what="reason")
    check_number(command.duration_s, what="duration", most=MAX_BAN_S)
    target = tx.get(Member, (member.space_id, identity))
    if target is not None:
        require_rank(member, target.role)
        _remove(tx, target, "banned")
    ban = tx.put(
        Ban(
            space_id=member.space_id,
            identity=identity,
            did=profile.did,
            until_us=tx.now_us + command.duration_s * 1_000_000 if command.duration_s else None,
            reason=reason,
            by=member.identity,
            at_us=tx.now_us,
        )
    )
    audit(
        tx, member.space_id, "member.ban", f"identity:{identity}", reason=reason, after=str(ban.until_us or "for good")
    )
    tx.emit("space.member_banned", space_id=member.space_id)
    _tell(tx, member.space_id, identity, "banned from", reason)
    return ban


def unban_member(command: UnbanMember, tx: Transaction) -> None:
    """Let somebody come back."""
    member = member_of(tx, command.server_id)
    require(tx, member, Permission.MEMBER_BAN)
    ban = tx.get(Ban, (member.space_id, check_identity(command.identity)))
    if ban is None:
        raise SpacesNotFoundError("They are not banned.")
    tx.remove(ban)
    audit(tx, member.space_id, "member.unban", f"identity:{ban.identity}")
    tx.emit("space.member_unbanned", space_id=member.space_id)


def mute_member(command: MuteMember, tx: Transaction) -> Mute:
    """Keep a member of a lower level from writing for a while."""
    member = member_of(tx, command.server_id)
    require(tx, member, Permission.MEMBER_MUTE)
    target = target_member(tx, command.server_id, check_identity(command.identity))
    require_rank(member, target.role)
    check_number(command.duration_s, what="duration", least=1, most=MAX_MUTE_S)
    if command.channel_id:
        channel = tx.get(Channel, command.channel_id)
        if channel is None or channel.space_id != member.space_id:
            raise SpacesNotFoundError("There is no such channel.")
    reason = check_optional(command.reason, MAX_REASON, what="reason")
    mute = tx.put(
        Mute(
            space_id=member.space_id,
            identity=target.identity,
            channel_id=command.channel_id,
            until_us=tx.now_us + command.duration_s * 1_000_000,
            reason=reason,
            by=member.identity,
            at_us=tx.now_us,
        )
    )
    audit(tx, member.space_id, "member.mute", f"identity:{target.identity}", reason=reason, after=str(mute.until_us))
    tx.emit("space.member_muted", space_id=member.space_id)
    _tell(tx, member.space_id, target.identity, "muted in", reason)
    return mute


def unmute_member(command: UnmuteMember, tx: Transaction) -> None:
    """Let a member write again."""
    member = member_of(tx, command.server_id)
    require(tx, member, Permission.MEMBER_MUTE)
    identity = check_identity(command.identity)
    if identity == member.identity:
        raise RoleRankError("You can't unmute yourself.")
    mute = tx.get(Mute, (member.space_id, identity, command.channel_id))
    if mute is None:
        raise SpacesNotFoundError("They are not muted there.")
    target = tx.get(Member, (member.space_id, identity))
    if target is not None:
        require_rank(member, target.role)
    tx.remove(mute)
    audit(tx, member.space_id, "member.unmute", f"identity:{identity}")
    tx.emit("space.member_unmuted", space_id=member.space_id)


def report_message(command: ReportMessage, tx: Transaction) -> Report:
    """Bring a message to the moderators' attention; once per member and message."""
    message, channel, member = message_of(tx, command.message_id)
    reason = check_text(command.reason, MAX_REASON, what="reason")
    if any(report.by == member.identity for report in tx.find(Report, ("message_id",), message.id)):
        raise AlreadyExistsError("You reported this message already.")
    waiting = [report for report in tx.find(Report, ("space_id",), member.space_id) if report.state == "open"]
    if len(waiting) >= MAX_REPORTS or sum(report.by == member.identity for report in waiting) >= _PER_MEMBER:
        raise SpacesConflictError("Too many reports are open.")
    report = tx.put(
        Report(
            id=tx.next_id(Report),
            message_id=message.id,
            channel_id=channel.id,
            space_id=channel.space_id,
            by=member.identity,
            reason=reason,
            at_us=tx.now_us,
        )
    )
    tx.emit("message.reported", space_id=channel.space_id, channel_id=channel.id)
    return report


def resolve_report(command: ResolveReport, tx: Transaction) -> Report:
    """Close a report."""
    report = tx.get(Report, command.report_id)
    if report is None:
        raise SpacesNotFoundError("There is no such report.")
    member = tx.get(Member, (report.space_id, tx.caller.identity))
    if member is None:
        raise SpacesNotFoundError("There is no such report.")
    require(tx, member, Permission.MESSAGE_DELETE_ANY, channel_id=report.channel_id)
    if report.state != "open":
        raise SpacesConflictError("The report is closed already.")
    state = "dismissed" if command.dismissed else "resolved"
    closed = tx.put(structs.replace(report, state=state, resolved_by=member.identity))
    audit(tx, report.space_id, "report.resolve", f"report:{report.id}", after=state)
    tx.emit("report.resolved", space_id=report.space_id, channel_id=report.channel_id)
    return closed


def _remove(tx: Transaction, target: Member, how: str) -> None:
    remove_member(tx, target)
    tx.emit("space.member_left", space_id=target.space_id)
    write_notice(tx, target.space_id, MessageType.LEAVE, f"{name_of(tx, target.identity)} was {how}")


def _tell(tx: Transaction, space_id: int, identity: str, what: str, reason: str | None) -> None:
    space = space_of(tx, space_id)
    title = f"You were {what} {space.name}"
    notify(tx, identity, "moderation", title, body=reason or "", ref=f"space:{space_id}")


REDUCERS: Final = {
    KickMember: kick_member,
    BanMember: ban_member,
    UnbanMember: unban_member,
    MuteMember: mute_member,
    UnmuteMember: unmute_member,
    ReportMessage: report_message,
    ResolveReport: resolve_report,
}
