"""Tools of hiring: ask, hire, look, deliver, accept, reject, rate.

A hire's id follows from the call that made it, so a call that is run again after a crash is the same hire: paid for once, told once.
"""

from __future__ import annotations

from life.aios.errors import LifeError, ToolError
from life.aios.ids import derived_event_id
from life.aios.json import Json
from life.aios.ports.tools import ToolContext
from life.spaces.hiring.desk import Hire
from life.spaces.hiring.peers import rows_of
from life.spaces.model import Channel, ChannelType
from life.spaces.tools.arguments import Accept, Ask, Deliver, HireArguments, Hired, Rate, Reject
from life.spaces.tools.room import Room
from life.spaces.tools.telling import LONG, NOTICE, TITLE, JsonMap, Told, cut, peer_ref
from life.spaces.tools.telling import hire as hire_told
from life.spaces.tools.telling import hires as hires_shown
from life.spaces.tools.until import wait_until
from life.spaces.tools.writing import log_into

TRIES = 3
"""How often a step whose outcome nobody knew is taken again: it is the same step."""
_PAUSE_US = 500_000
_HUB = 1


def hire_id_of(context: ToolContext) -> str:
    """The id of the hire (or question) that a call makes."""
    return derived_event_id("spaces.hire", context.session_id, context.idempotency_key)


async def hire(room: Room, given: HireArguments, context: ToolContext) -> Told:
    """Put the price aside and tell the peer."""
    approved = given.price_micro > 0 and await room.was_approved(context)
    hire_id = hire_id_of(context)
    for attempt in range(1, TRIES + 1):
        try:
            found = await room.hiring.hire(
                hire_id,
                given.peer,
                title=given.title,
                task=given.task,
                price_micro=given.price_micro,
                deadline_s=given.deadline_s,
                review_s=given.review_s,
                session_id=context.session_id,
                approved=approved,
            )
        except LifeError as error:
            if not error.retryable or attempt == TRIES:
                raise
            await room.clock.sleep_us(_PAUSE_US)
        else:
            break
    room.remember(context, found)
    note: JsonMap = {
        "hire_id": found.hire_id,
        "role": found.role,
        "peer": peer_ref(found.peer),
        "title": cut(found.title, TITLE),
        "task": cut(found.task, LONG),
        "price_micro": found.price_micro,
        "currency": "USDC",
        "deadline_us": found.deadline_us,
        "review_s": given.review_s,
        "state": found.state,
        "escrow": found.escrow,
        "house": found.house,
    }
    return Told(hire_told(found), (("hired", note),))


async def ask(room: Room, given: Ask, context: ToolContext) -> Told:
    """Ask, and wait for the answer."""
    ask_id = hire_id_of(context)
    asked = await room.hiring.ask(ask_id, given.peer, given.question)
    answered = await wait_for_answer(room, ask_id, given.timeout_s)
    return asked_told(answered or asked)


async def wait_for_answer(room: Room, ask_id: str, timeout_s: int) -> Hire | None:
    """The question, once it is answered or declined; None when nobody did in time."""

    async def look() -> Hire | None:
        found = await room.hiring.look(ask_id)
        return found if found.state in ("delivered", "declined") else None

    seat = await room.open_seat()
    return await wait_until(seat, ("tasks:self",), look, clock=room.clock, timeout_s=timeout_s)


def asked_told(found: Hire) -> Told:
    """A question with its answer, if there is one."""
    status = {"delivered": "answered", "declined": "declined"}.get(found.state, "waiting")
    answer = found.result if status == "answered" else (found.reason or None)
    output: JsonMap = {
        "notice": NOTICE,
        "ask_id": found.hire_id,
        "status": status,
        "peer": peer_ref(found.peer),
        "quoted": answer if status != "waiting" else None,
    }
    note: JsonMap = {
        "ask_id": found.hire_id,
        "peer": peer_ref(found.peer),
        "question": cut(found.task, LONG),
        "status": status,
        "answer": cut(answer or "", LONG) if status != "waiting" else "",
    }
    return Told(output, (("asked", note),))


async def hired(room: Room, given: Hired, context: ToolContext) -> Told:
    """Hires, and where they stand."""
    if given.hire_id is not None:
        found = [await room.hiring.look(given.hire_id)]
    else:
        found = await room.hiring.list_(role=given.role, open_only=given.open_only, limit=given.limit)
    return hires_told(room, found, context)


def hires_told(room: Room, found: list[Hire], context: ToolContext) -> Told:
    """Several hires, with events for what this session had not seen."""
    return Told({"notice": NOTICE, "hires": hires_shown(found)}, room.noticed(context, found))


async def deliver(room: Room, given: Deliver, context: ToolContext) -> Told:
    """Hand a result in, or decline."""
    if bool(given.result.strip()) == bool(given.decline.strip()):
        raise ToolError("Give a result, or say why you decline.")
    if given.decline.strip():
        found = await room.hiring.decline(given.hire_id, given.decline)
    else:
        found = await room.hiring.deliver(given.hire_id, given.result)
    return Told(hire_told(found), room.noticed(context, [found]))


async def accept(room: Room, given: Accept, context: ToolContext) -> Told:
    """The delivery is right."""
    found = await room.hiring.accept(given.hire_id, given.note)
    return Told(hire_told(found), room.noticed(context, [found]))


async def reject(room: Room, given: Reject, context: ToolContext) -> Told:
    """The delivery is wrong."""
    found = await room.hiring.reject(given.hire_id, given.reason)
    return Told(hire_told(found), room.noticed(context, [found]))


async def rate(room: Room, given: Rate, context: ToolContext) -> Told:
    """Say in public how a hire went. It moves nobody's trust: that follows the money."""
    found = await room.hiring.look(given.hire_id)
    if not found.is_over:
        raise ToolError(f"This hire is {found.state}; it can be rated when it is over.")
    seat = await room.open_seat()
    rows = await rows_of(seat, "channel", {"space_id": _HUB})
    logs = [row for row in rows if isinstance(row, Channel) and row.channel_type is ChannelType.AGENT_LOG]
    if not logs:
        raise ToolError("There is no agent log in the Hub to rate in.")
    data: dict[str, Json] = {
        "hire_id": found.hire_id,
        "peer": found.peer.identity,
        "role": found.role,
        "state": found.state,
        "price_micro": found.price_micro,
        "stars": given.stars,
        "comment": given.comment,
    }
    await log_into(room, min(logs, key=lambda row: row.id), context, kind="hire.rated", data=data, severity="info")
    trust = await room.hiring.trust_in(found.peer.identity)
    told: JsonMap = {"hire_id": found.hire_id, "stars": given.stars, "peer": peer_ref(found.peer)}
    note: JsonMap = {**told, "comment": cut(given.comment, LONG), "trust_micro": trust.score_micro}
    return Told(told, (("rated", note),))
