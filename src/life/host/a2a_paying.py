"""Paying other agents for their skills out of a Payer's purse (a2a-x402 v0.2).

    hired = await PayingAgent(peer, payer, clock).hire(peer.say("A report.", message_id="order-1", metadata={"skillId": "report"}))

Every task is a purchase like any other (`life.haima.x402.purchase`): its terms are chosen, decided by the policy, reserved on disk and signed;
a payment whose outcome is unknown is finished with the identical payment when the task is hired again with the same message. The peer must be
opened with the x402 extension (`extensions=(X402_EXTENSION,)`).
"""

from __future__ import annotations

import binascii
from typing import Final, NamedTuple

import msgspec

from life.aios.errors import InvalidInputError
from life.aios.ids import derived_event_id
from life.aios.json import Json
from life.aios.ports.clock import Clock
from life.haima.payer import Payer
from life.haima.x402.conversation import PurchaseRequest, ReadBody, Receipt, Reply, Send
from life.haima.x402.wire import PAYMENT_REQUIRED, PAYMENT_RESPONSE, PAYMENT_SIGNATURE
from life.spaces.a2a import payment
from life.spaces.a2a.client import A2aClient
from life.spaces.a2a.errors import InvalidAgentResponseError
from life.spaces.a2a.wire import INTERRUPTED, TERMINAL, Message, SendConfiguration, Task, TaskState

LOOK_US: Final = 250_000
"""How often a task that goes on is looked at."""
MAX_LOOKS: Final = 480
"""How often at most while a payment is settled: two minutes. Its outcome is unknown then."""


class Hired(NamedTuple):
    """The task, over or waiting for its client, and what was paid for it: None when nothing had to be."""

    task: Task
    receipt: Receipt | None


class PayingAgent:
    """Hires one other agent and pays where its skills cost something."""

    def __init__(self, peer: A2aClient, payer: Payer, clock: Clock) -> None:
        self._peer = peer
        self._payer = payer
        self._clock = clock

    async def hire(
        self,
        message: Message,
        *,
        session_id: str | None = None,
        max_amount_micro: int | None = None,
        deadline_us: int | None = None,
    ) -> Hired:
        """Begin the task (or find it, when the message was sent before), pay for it if that is asked, and wait for it: until it is over
        or asks something, or until `deadline_us` on the clock, when it comes back as it stands. Raises what a purchase raises
        (PaymentErrors) and the client's errors."""
        errand = _Errand(self._peer, self._clock, message)
        wanted = PurchaseRequest(
            method="SendMessage",
            url=self._peer.url,
            body=msgspec.json.encode(message),
            purchase_id=derived_event_id("a2a.hire", self._peer.url, message.message_id),
            session_id=session_id,
            max_amount_micro=max_amount_micro,
        )
        conversation = self._payer.purchase(wanted)
        try:
            step = next(conversation)
            while True:
                try:
                    if isinstance(step, Send):
                        step.reply = await errand.send(step)
                    elif not isinstance(step, ReadBody):  # terms stand in the task; there is no body to read
                        await step.perform()
                except BaseException as error:
                    step = conversation.throw(error)
                else:
                    step = next(conversation)
        except StopIteration as done:
            receipt: Receipt | None = done.value
        finally:
            conversation.close()
        task = await errand.finished(deadline_us)
        if receipt is not None and receipt.state != "refused" and task.status.state is TaskState.COMPLETED:
            self._payer.note_delivered(receipt.payment)
        return Hired(task, receipt)


class _Errand:
    """One task of another agent, as the answers of a resource."""

    def __init__(self, peer: A2aClient, clock: Clock, message: Message) -> None:
        self._peer = peer
        self._clock = clock
        self._message = message
        self._task: Task | None = None

    async def send(self, step: Send) -> Reply:
        """The message, or (with a payment) the payment for its task."""
        task = self._task = await self._begun()
        if step.header is None or payment.receipts_of(task):
            return _reply(task)
        if step.header[0] != PAYMENT_SIGNATURE:
            raise InvalidInputError("Agents are paid by x402 version 2.")
        payload: Json = msgspec.json.decode(binascii.a2b_base64(step.header[1]))
        paying = Message(
            # The same payment is the same message, whoever sends it again.
            message_id=derived_event_id("a2a.payment", self._message.message_id, step.header[1]),
            context_id=task.context_id,
            task_id=task.id,
            role=self._message.role,
            parts=self._message.parts[:1],
            metadata={payment.STATUS: payment.PAYMENT_SUBMITTED, payment.PAYLOAD: payload},
            extensions=self._message.extensions,
        )
        self._task = _task(await self._peer.send(paying, SendConfiguration(return_immediately=True)))
        task = await self._settled()
        if task.status.state not in TERMINAL | INTERRUPTED and not payment.receipts_of(task):
            return Reply(503, lambda _: None)  # nobody says yet what became of the payment
        return _reply(task)

    async def finished(self, deadline_us: int | None) -> Task:
        """The task when it is over or waits for its client; as it stands at the deadline."""
        task = await self._begun() if self._task is None else self._task
        while task.status.state not in TERMINAL | INTERRUPTED:
            if deadline_us is not None and self._clock.now_us() >= deadline_us:
                break
            await self._clock.sleep_us(LOOK_US)
            task = await self._peer.get(task.id)
        return task

    async def _begun(self) -> Task:
        return _task(await self._peer.send(self._message, SendConfiguration(return_immediately=True)))

    async def _settled(self) -> Task:
        """The task once its payment is decided about."""
        task = self._task
        assert task is not None  # it was begun before it is paid
        for _ in range(MAX_LOOKS):
            is_decided = payment.receipts_of(task) or task.status.state in TERMINAL | INTERRUPTED
            if is_decided:
                break
            await self._clock.sleep_us(LOOK_US)
            task = self._task = await self._peer.get(task.id)
        return task


def _task(answer: Task | Message) -> Task:
    if isinstance(answer, Message):
        raise InvalidAgentResponseError("The agent answers with messages, not with tasks that can be paid for.")
    return answer


def _reply(task: Task) -> Reply:
    """A task as the answer of a resource: 402 while it asks for money."""
    headers: dict[str, str] = {}
    receipts = payment.receipts_of(task)
    if receipts:
        headers[PAYMENT_RESPONSE.lower()] = _base64(receipts[-1])
    terms = payment.terms_of(task)
    status = 200
    if task.status.state is TaskState.INPUT_REQUIRED and terms is not None:
        message = task.status.message
        error = None if message is None else (message.metadata or {}).get(payment.ERROR)
        document = {**terms, "error": error} if isinstance(error, str) else dict(terms)
        status, headers[PAYMENT_REQUIRED.lower()] = 402, _base64(document)
    elif task.status.state in (TaskState.FAILED, TaskState.REJECTED, TaskState.CANCELED) and not receipts:
        status = 422
    return Reply(status, lambda name: headers.get(name.lower()))


def _base64(document: object) -> str:
    return binascii.b2a_base64(msgspec.json.encode(document), newline=False).decode("ascii")
