"""The protocol's operations, for every binding (A2A 1.0, "Protocol Operations").

A caller sees their own tasks and no others: somebody else's answer "not found", like none. A message is idempotent by its id: sent
again it gives the same task. Skills are named in a message's metadata (`skillId`); a priced one needs the x402 extension.
"""

from __future__ import annotations

import binascii
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from msgspec.structs import replace

from life.aios.errors import EventConflictError
from life.aios.ids import derived_event_id
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.spaces.a2a import payment
from life.spaces.a2a.bridge import TaskBridge
from life.spaces.a2a.card import X402_EXTENSION, Skill
from life.spaces.a2a.driver import Drivers, conversation_of, words_of
from life.spaces.a2a.errors import (
    ContentTypeNotSupportedError,
    ExtensionRequiredError,
    InvalidParamsError,
    PushNotSupportedError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)
from life.spaces.a2a.events import MessageAdded, PaymentSubmitted, TaskOpened
from life.spaces.a2a.feed import Listener
from life.spaces.a2a.ledger import TaskLedger
from life.spaces.a2a.ports import Caller, Poster, TaskChannel, Till, TokenSigner, Vault, Worker
from life.spaces.a2a.push import PushNotices
from life.spaces.a2a.room import MAX_AT_ONCE, make_room
from life.spaces.a2a.state import TaskRecord
from life.spaces.a2a.wire import (
    INTERRUPTED,
    ListPushConfigsRequest,
    ListPushConfigsResponse,
    ListTasksRequest,
    ListTasksResponse,
    Message,
    PushConfig,
    PushConfigRequest,
    SendConfiguration,
    SendMessageRequest,
    StreamResponse,
    Task,
    TaskRequest,
    TaskState,
    check_message,
    read_timestamp,
)

SKILL: Final = "skillId"
MAX_OPEN: Final = 32
"""How many tasks of one owner may be open at once."""
MAX_TEXT_CHARACTERS: Final = 200_000
MAX_MESSAGES: Final = 256
"""Per task."""
PAGE: Final = 50
MAX_PAGE: Final = 100
_OUTPUT: Final = ("text/plain", "text/*", "text", "*/*", "text/markdown")
_YES: Final = frozenset(("approve", "approved", "yes", "y", "ok"))
_NO: Final = frozenset(("deny", "denied", "no", "n", "reject"))


class Asked(NamedTuple):
    """What stands around a request."""

    caller: Caller
    extensions: Collection[str] = ()
    """URIs of the extensions that the client activated."""


class A2aService:
    """See the module. `start` it, and close it with `aclose`."""

    def __init__(
        self,
        journal: Journal,
        worker: Worker,
        *,
        clock: Clock,
        entropy: Entropy,
        agent_id: str,
        skills: tuple[Skill, ...],
        till: Till | None = None,
        channel: TaskChannel | None = None,
        poster: Poster | None = None,
        signer: TokenSigner | None = None,
        vault: Vault | None = None,
        max_open: int = MAX_AT_ONCE,
    ) -> None:
        """`max_open`: tasks of all owners together. `poster`, `signer` and `vault` together make push notifications; without them they are refused. A skill with a price
        needs the `till`."""
        if till is None and any(skill.price for skill in skills):
            raise InvalidParamsError("A skill has a price, and there is no till.")
        self._ledger = TaskLedger(journal, clock=clock, entropy=entropy, agent_id=agent_id)
        self._worker = worker
        self._till = till
        self._max_open = max_open
        self._skills = {skill.id: skill for skill in skills}
        self._drivers = Drivers(self._ledger, worker, clock, till=till)
        self._bridge: TaskBridge | None = None
        if channel is not None:
            self._bridge = TaskBridge(
                self._ledger,
                channel,
                clock,
                conversation_of=conversation_of,
                run_of=lambda task_id: self._drivers.runs.get(task_id, ""),
            )
        self.push: PushNotices | None = None
        if poster is not None and signer is not None and vault is not None:
            self.push = PushNotices(self._ledger, clock, poster=poster, signer=signer, vault=vault)

    async def start(self) -> None:
        """Read the tasks, and go on with those that are open."""
        await self._ledger.load()
        self._ledger.changed = self._changed
        if self._bridge is not None:
            self._bridge.start()
        for task in list(self._ledger.tasks.all.values()):
            if task.needs_payment and task.state is not TaskState.INPUT_REQUIRED and not task.is_over:
                await self._ask_for_payment(task)
            self._drivers.drive(task.task_id)
        if self.push is not None:
            self.push.start()

    async def aclose(self) -> None:
        """Stop. Open tasks go on after the next start."""
        if self.push is not None:
            await self.push.aclose()
        await self._drivers.aclose()
        if self._bridge is not None:
            await self._bridge.aclose()
        self._ledger.feed.close()

    def _changed(self, task: TaskRecord) -> None:
        if self.push is not None:
            self.push.changed(task)
        if self._bridge is not None:
            self._bridge.changed(task)

    @property
    def skills(self) -> tuple[Skill, ...]:
        """What the agent does for others."""
        return tuple(self._skills.values())

    # ---- messages

    async def send(self, request: SendMessageRequest, asked: Asked) -> Task:
        """SendMessage: the task, once it is over or waits for the client; at once with `returnImmediately`."""
        configuration = request.configuration or SendConfiguration()
        async with self._sent(request, asked) as (task, listener):
            if not configuration.return_immediately and not task.is_over:
                async for _ in listener.events():
                    pass
            now = self._ledger.tasks.get(task.task_id) or task
            return self._ledger.told(now, history_length=configuration.history_length)

    async def stream(self, request: SendMessageRequest, asked: Asked) -> AsyncGenerator[StreamResponse, None]:
        """SendStreamingMessage: the task, then what changes, until it is over or waits for the client."""
        async with self._sent(request, asked) as (task, listener):
            yield StreamResponse(task=self._ledger.told(task))
            if not task.is_over:
                async for event in listener.events():
                    yield event

    async def subscribe(self, request: TaskRequest, asked: Asked) -> AsyncGenerator[StreamResponse, None]:
        """SubscribeToTask: the task as it stands, then what changes. UnsupportedOperationError when it is over."""
        task = self._own(request.id, asked)
        if task.is_over:
            raise UnsupportedOperationError("The task is over; nothing changes any more.")
        listener = self._listen(task.task_id)
        try:
            yield StreamResponse(task=self._ledger.told(task))
            async for event in listener.events():
                yield event
        finally:
            self._ledger.feed.leave(task.task_id, listener)

    # ---- tasks

    def get(self, request: TaskRequest, asked: Asked) -> Task:
        """GetTask."""
        return self._ledger.told(self._own(request.id, asked), history_length=_length(request.history_length))

    def list(self, request: ListTasksRequest, asked: Asked) -> ListTasksResponse:
        """ListTasks: the caller's, the last changed first."""
        size = PAGE if request.page_size is None else request.page_size
        if not 1 <= size <= MAX_PAGE:
            raise InvalidParamsError(f"A page has 1 to {MAX_PAGE} tasks.")
        since_us = read_timestamp(request.status_timestamp_after) if request.status_timestamp_after else None
        history = _length(request.history_length)
        found = [
            task
            for task in self._ledger.tasks.all.values()
            if task.owner == asked.caller.owner
            and (not request.context_id or task.context_id == request.context_id)
            and (request.status is None or task.state is request.status)
            and (since_us is None or task.updated_us >= since_us)
        ]
        found.sort(key=_place, reverse=True)
        total = len(found)
        if request.page_token:
            before = _read_token(request.page_token)
            found = [task for task in found if _place(task) < before]
        page = found[:size]
        told = tuple(self._ledger.told(task, history_length=history) for task in page)
        if not request.include_artifacts:
            told = tuple(Task(id=t.id, context_id=t.context_id, status=t.status, history=t.history) for t in told)
        return ListTasksResponse(
            tasks=told,
            next_page_token=_token(page[-1]) if len(found) > size else "",
            page_size=len(page),
            total_size=total,
        )

    async def cancel(self, request: TaskRequest, asked: Asked) -> Task:
        """CancelTask: the task, over. TaskNotCancelableError when it was over before."""
        task = self._own(request.id, asked)
        if task.is_over:
            raise TaskNotCancelableError("The task is over.")
        listener = self._listen(task.task_id)
        try:
            await self._drivers.cancel(task)
            now = self._ledger.tasks.get(task.task_id) or task
            while not now.is_over:  # the run winds up; its driver says how it ended
                async for _ in listener.events():
                    pass
                now = self._ledger.tasks.get(task.task_id) or task
                if not now.is_over and now.state not in INTERRUPTED:
                    break  # this agent is stopping
        finally:
            self._ledger.feed.leave(task.task_id, listener)
        return self._ledger.told(now, history_length=_length(request.history_length))

    # ---- notifications

    async def create_push(self, config: PushConfig, asked: Asked) -> PushConfig:
        """CreateTaskPushNotificationConfig."""
        push = self._push()
        return await push.create(self._own(config.task_id, asked), config)

    def get_push(self, request: PushConfigRequest, asked: Asked) -> PushConfig:
        """GetTaskPushNotificationConfig."""
        push = self._push()
        return push.get(self._own(request.task_id, asked).task_id, request.id)

    def list_push(self, request: ListPushConfigsRequest, asked: Asked) -> ListPushConfigsResponse:
        """ListTaskPushNotificationConfigs: all on one page."""
        push = self._push()
        return ListPushConfigsResponse(configs=push.list(self._own(request.task_id, asked)))

    async def delete_push(self, request: PushConfigRequest, asked: Asked) -> None:
        """DeleteTaskPushNotificationConfig."""
        push = self._push()
        await push.delete(self._own(request.task_id, asked).task_id, request.id)

    # ---- inside

    @asynccontextmanager
    async def _sent(
        self, request: SendMessageRequest, asked: Asked
    ) -> AsyncGenerator[tuple[TaskRecord, Listener], None]:
        """Take a message in, and listen to its task from before anything happens to it."""
        await self._check(request)
        message = request.message
        if message.task_id:
            task = self._own(message.task_id, asked)
            listener = self._listen(task.task_id)
        else:
            task_id = derived_event_id("spaces.a2a_task", asked.caller.owner, message.message_id)
            listener = self._listen(task_id)
        try:
            if message.task_id:
                await self._continue(task, message, asked)
            else:
                task = await self._open(task_id, message, asked)
            await self._configure(task, request)
            yield self._ledger.tasks.get(task.task_id) or task, listener
        finally:
            self._ledger.feed.leave(task.task_id if message.task_id else task_id, listener)

    async def _check(self, request: SendMessageRequest) -> None:
        message = request.message
        check_message(message)
        if any(isinstance(part.raw, str) or isinstance(part.url, str) for part in message.parts):
            raise ContentTypeNotSupportedError(
                "This agent reads text and data; files can't be given to it.",
                next_step="Put the content into a text part.",
            )
        if len(words_of(message)) > MAX_TEXT_CHARACTERS:
            raise InvalidParamsError(f"A message has at most {MAX_TEXT_CHARACTERS} characters.")
        configuration = request.configuration
        if configuration is None:
            return
        _length(configuration.history_length)
        modes = configuration.accepted_output_modes
        if modes and not any(mode.split(";")[0].strip().lower() in _OUTPUT for mode in modes):
            raise ContentTypeNotSupportedError("This agent answers with text/plain.")
        if configuration.task_push_notification_config is not None:
            await self._push().check(configuration.task_push_notification_config)

    async def _configure(self, task: TaskRecord, request: SendMessageRequest) -> None:
        configuration = request.configuration
        if configuration is not None and configuration.task_push_notification_config is not None:
            await self._push().create(task, configuration.task_push_notification_config, from_start=True)

    def _push(self) -> PushNotices:
        if self.push is None:
            raise PushNotSupportedError("This agent sends no push notifications.")
        return self.push

    async def _open(self, task_id: str, message: Message, asked: Asked) -> TaskRecord:
        owner = asked.caller.owner
        known = self._ledger.tasks.get(task_id)
        if known is not None:
            return _same(known, known.history[0], message)
        if not words_of(message).strip():
            raise InvalidParamsError("The message says nothing.")
        skill = self._skill(message, asked)
        is_paid = skill is not None and bool(skill.price)
        open_tasks = sum(task.owner == owner and not task.is_over for task in self._ledger.tasks.all.values())
        if open_tasks >= MAX_OPEN:
            raise UnsupportedOperationError(
                f"You have {MAX_OPEN} open tasks.", next_step="Wait for one, or cancel one."
            )
        await make_room(self._ledger, self._max_open, is_paid=is_paid)
        # A context that nobody named follows from the message, so that the same message again is the same event.
        context_id = message.context_id or derived_event_id("spaces.a2a_new_context", owner, message.message_id)
        if is_paid and self._till is not None and skill is not None:
            await self._till.terms(skill.id)  # a till that is closed is known before the task is
        opened = TaskOpened(
            task_id=task_id,
            context_id=context_id,
            owner=owner,
            message=_placed(message, task_id, context_id),
            skill_id="" if skill is None else skill.id,
            is_paid=is_paid,
        )
        try:
            task = await self._ledger.write(opened, event_id=task_id)
        except EventConflictError:
            raise InvalidParamsError("This messageId was used for another message.") from None
        task = task or self._own(task_id, asked)
        if is_paid:
            await self._ask_for_payment(task)
        else:
            self._drivers.drive(task_id)
        return self._ledger.tasks.get(task_id) or task

    async def _continue(self, task: TaskRecord, message: Message, asked: Asked) -> None:
        if message.context_id and message.context_id != task.context_id:
            raise InvalidParamsError("The task belongs to another context.")
        for said in task.history:
            if said.message_id == message.message_id:
                _same(task, said, message)
                return
        if task.is_over:
            raise UnsupportedOperationError("The task is over.", next_step="Begin another one in the same context.")
        if len(task.history) >= MAX_MESSAGES:
            raise UnsupportedOperationError(f"A task has at most {MAX_MESSAGES} messages.")
        word = payment.payment_word(message)
        if word is not None or task.needs_payment:
            await self._paid(task, message, word)
        elif task.waits_for:
            await self._decided(task, message, asked)
        elif task.state is TaskState.SUBMITTED or (task.is_paid and not task.has_paid):
            raise UnsupportedOperationError("The task has not begun yet.", next_step="Wait until it is working.")
        else:
            await self._add(task, message)
            await self._worker.add(conversation_of(task), words_of(message), by=asked.caller.owner)

    async def _add(self, task: TaskRecord, message: Message) -> None:
        event_id = derived_event_id("spaces.a2a_message", task.task_id, message.message_id)
        added = MessageAdded(task_id=task.task_id, message=_placed(message, task.task_id, task.context_id))
        try:
            await self._ledger.write(added, event_id=event_id)
        except EventConflictError:
            raise InvalidParamsError("This messageId was used for another message.") from None

    async def _paid(self, task: TaskRecord, message: Message, word: payment.PaymentWord | None) -> None:
        if not task.needs_payment:
            raise UnsupportedOperationError("The task does not wait for a payment.")
        if word is None:
            raise UnsupportedOperationError(
                "The task waits for a payment.", next_step=f"Answer with {payment.STATUS} and {payment.PAYLOAD}."
            )
        if word.payload is None:
            await self._add(task, message)
            await self._ledger.move(task.task_id, TaskState.CANCELED, "The client does not pay.")
            return
        # The payment is kept before anything is done with it; the message follows, without it.
        submitted = PaymentSubmitted(task_id=task.task_id, payload=word.payload)
        event_id = derived_event_id("spaces.a2a_payment", task.task_id, message.message_id)
        await self._ledger.write(submitted, event_id=event_id)
        await self._add(task, _without_payment(message))
        await self._ledger.move(task.task_id, TaskState.WORKING, "The payment is being settled.")
        self._drivers.drive(task.task_id)

    async def _decided(self, task: TaskRecord, message: Message, asked: Asked) -> None:
        if not asked.caller.may_approve:
            raise UnsupportedOperationError(
                "A person of this agent decides about the call; you are not permitted to.",
                next_step="Wait, or ask for the scope a2a:approve.",
            )
        approved = _decision(message)
        approval_id = task.waits_for
        await self._add(task, message)
        await self._worker.decide(
            conversation_of(task),
            approval_id,
            approved=approved,
            by=asked.caller.owner,
            reason="" if approved else words_of(message)[:500],
        )
        now = self._ledger.tasks.get(task.task_id)
        if now is not None and now.waits_for == approval_id:
            await self._ledger.move(task.task_id, TaskState.WORKING)

    async def _ask_for_payment(self, task: TaskRecord) -> None:
        assert self._till is not None  # a priced skill has one
        asking = payment.asking(await self._till.terms(task.skill_id))
        await self._ledger.move(task.task_id, TaskState.INPUT_REQUIRED, "This costs money.", metadata=asking)

    def _skill(self, message: Message, asked: Asked) -> Skill | None:
        """The skill that the message names; without a name the only one, or none in particular."""
        name = (message.metadata or {}).get(SKILL)
        if name is None:
            free = [skill for skill in self._skills.values() if not skill.price]
            if free or not self._skills:
                return None
            skill = next(iter(self._skills.values()))
        elif isinstance(name, str) and name in self._skills:
            skill = self._skills[name]
        else:
            raise InvalidParamsError(f"There is no skill '{str(name)[:64]}'.", next_step="The card lists them.")
        if skill.price and X402_EXTENSION not in asked.extensions:
            raise ExtensionRequiredError(
                f"The skill '{skill.id}' costs money.",
                next_step=f"Activate the extension {X402_EXTENSION} in the header A2A-Extensions.",
            )
        return skill

    def _own(self, task_id: str, asked: Asked) -> TaskRecord:
        task = self._ledger.tasks.get(task_id)
        if task is None or task.owner != asked.caller.owner:
            raise TaskNotFoundError(task_id)
        return task

    def _listen(self, task_id: str) -> Listener:
        listener = self._ledger.feed.listen(task_id)
        if listener is None:
            raise UnsupportedOperationError("Too many listen to this task.")
        return listener


def _length(history_length: int | None) -> int | None:
    if history_length is not None and history_length < 0:
        raise InvalidParamsError("historyLength is 0 or more.")
    return history_length


def _same(task: TaskRecord, said: Message, message: Message) -> TaskRecord:
    """The task, when the message is the one that was said; InvalidParamsError."""
    again = _placed(_without_payment(message), task.task_id, task.context_id)
    if again != _placed(_without_payment(said), task.task_id, task.context_id):
        raise InvalidParamsError("This messageId was used for another message.")
    return task


def _placed(message: Message, task_id: str, context_id: str) -> Message:
    return replace(message, task_id=task_id, context_id=context_id)


def _without_payment(message: Message) -> Message:
    if message.metadata is None or payment.PAYLOAD not in message.metadata:
        return message
    return replace(
        message, metadata={name: value for name, value in message.metadata.items() if name != payment.PAYLOAD}
    )


def _decision(message: Message) -> bool:
    """Yes or no: `{"approved": …}` as data, or one of the usual words. InvalidParamsError."""
    for part in message.parts:
        if isinstance(part.data, dict) and isinstance(part.data.get("approved"), bool):
            return bool(part.data["approved"])
    word = words_of(message).strip().rstrip(".!").lower()
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise InvalidParamsError("The task waits for a decision.", next_step='Answer with the data {"approved": true}.')


def _place(task: TaskRecord) -> tuple[int, str]:
    return task.updated_us, task.task_id


def _token(task: TaskRecord) -> str:
    return binascii.b2a_base64(f"{task.updated_us}:{task.task_id}".encode(), newline=False).decode()


def _read_token(token: str) -> tuple[int, str]:
    try:
        at, _, task_id = binascii.a2b_base64(token, strict_mode=True).decode().partition(":")
        if not at.isascii() or not at.isdigit() or len(at) > 18:
            raise ValueError
        return int(at), task_id
    except ValueError:
        raise InvalidParamsError("That is no page token of this agent.") from None
