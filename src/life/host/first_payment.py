"""The demonstration of `life demo first-payment`: an agent meets a price, decides, pays, and everything is proved.

A shop and an agent in one process, each on its real parts and with real HTTP between them: the shop sells `/paid` through
the middleware, its facilitator settles on the local ledger, and the agent's http_fetch goes through checked egress and the
paying transport. What is shown is read back from the journal. The proofs compare the live state with one that is rebuilt from
the journal alone, byte for byte, and count the model calls of both.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import httpx2
import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from life.aios import events as aios_events
from life.aios.errors import LifeError
from life.aios.money import MICRO_PER_USDC, format_micro
from life.aios.record import format_timestamp
from life.arcan.state import encode_state as encode_session
from life.haima import events
from life.haima import state as finance
from life.haima.chain.ledger_events import LedgerTransferred, from_kind
from life.haima.chain.local_ledger import DEVELOPMENT_ACCOUNTS
from life.haima.events import read_finance, wallet_stream
from life.haima.facilitator.self_hosted import SelfHostedFacilitator
from life.haima.reservations import Payment
from life.haima.x402.middleware import X402Middleware
from life.haima.x402.networks import LOCAL, PLAY_MONEY
from life.haima.x402.paid_routes import Route
from life.haima.x402.seller_app import demo_seller_app
from life.haima.x402.wire import PAYMENT_RESPONSE, PAYMENT_SIGNATURE, PaymentRequirements, decode_payment_response
from life.host.data_directory import DataDirectory
from life.host.first_payment_proof import Live, Proof, encode_ledger, everything_in, rebuild, stream_in
from life.host.http.server import bind
from life.host.settings import ModelSettings, Settings, ToolSettings
from life.host.system import System, open_system

PRICE: Final = "$0.0001"
"""Exactly what the default policy lets an agent pay without asking."""
TASK: Final = "Buy the report at {url} and tell me what it says."
PAYEE: Final = DEVELOPMENT_ACCOUNTS[1]


class Line(NamedTuple):
    """One line of the story: a label on the first line of a step, then text."""

    label: str
    text: str


Tell = Callable[[Line], None]


class NothingBoughtError(LifeError):
    """The demonstration's agent did not come to a paid answer."""

    code = "demo.nothing_bought"


async def first_payment(root: Path | None, tell: Tell) -> list[Proof]:
    """Play it in the data directory `root`, or in a temporary one; the proofs. Errors of any part are raised."""
    if root is not None:
        return await _play(root, os.environ, tell)
    temporary = Path(tempfile.mkdtemp(prefix="life-demo-"))
    try:
        # The key of this identity lies beside it and goes away with it: the user's own key file stays out of this.
        return await _play(temporary / "life", {"LIFE_KEY_FILE": str(temporary / "key")}, tell)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


async def _play(root: Path, environment: Mapping[str, str], tell: Tell) -> list[Proof]:
    data = DataDirectory.create(root)
    with data.lock("arcand"), bind("127.0.0.1", 0) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        script = _write_script(data.root / "first-payment.json", f"http://{address}/paid")
        settings = Settings(
            model=ModelSettings(provider=f"scripted:{script}"), tools=ToolSettings(allow_private_hosts=(address,))
        )
        async with open_system(root, settings=settings, environment=environment) as system:
            live = await _buy(system, listener, f"http://{address}", tell)
        rebuilt = await rebuild(data.root, live)
    tell(Line("journal", f"{rebuilt.events} events in {rebuilt.streams} streams; those about this money:"))
    for line in rebuilt.trail:
        tell(Line("", line))
    return [*rebuilt.proofs, *live.proofs]


def _write_script(path: Path, url: str) -> Path:
    """What the scripted model says: one call, then a sentence."""
    turns = [
        {"text": "I'll fetch it; if it costs something, my wallet decides.", "calls": [_call(url)]},
        {"text": "I bought the report. The receipt is in the journal."},
    ]
    path.write_text(json.dumps({"name": "first-payment", "turns": turns}))
    return path.resolve()


def _call(url: str) -> dict[str, object]:
    return {"tool": "http_fetch", "arguments": {"url": url}}


# --- the story --------------------------------------------------------------------------------------------------------


async def _buy(system: System, listener: socket.socket, shop: str, tell: Tell) -> Live:
    identity, ledger = system.identity, system.ledger
    wallet = identity.wallet.address
    tell(Line("identity", f"{identity.name} · {identity.did}"))
    tell(Line("", f"wallet {wallet}, soul {identity.soul.soul_hash[:16]}… ({_age(system.identity_is_new)})"))
    if await ledger.balance(wallet, asset=PLAY_MONEY.address) < MICRO_PER_USDC:
        await ledger.fund(wallet, MICRO_PER_USDC, asset=PLAY_MONEY.address, reason="demonstration")
    before_micro = await ledger.balance(wallet, asset=PLAY_MONEY.address)
    tell(Line("money", f"{format_micro(before_micro)} of PLAY MONEY on {LOCAL}, worth nothing anywhere else"))
    books = finance.fold(await everything_in(system.journal))
    seen = (await everything_in(system.journal))[-1].position
    async with _shop(system, listener):
        tell(Line("shop", f"{shop}/paid costs {PRICE}, paid to {PAYEE}"))
        task = TASK.format(url=f"{shop}/paid")
        session = await system.runtime.create_session(name="first payment")
        tell(Line("task", task))
        report = await system.runtime.run(session.session_id, task)
        await system.payer.flush()
        payment = await _paid(system, seen)
        await _tell_story(system, session.session_id, payment, tell)
        tell(Line("", f"the agent says: {report.final_answer}"))
        after_micro = await ledger.balance(wallet, asset=PLAY_MONEY.address)
        tell(Line("balance", f"{format_micro(before_micro)} → {format_micro(after_micro)}"))
        again = await _present_again(system, shop, payment, after_micro)
    await system.payer.flush()
    state = await system.runtime.state(session.session_id)
    news = [record for record in await everything_in(system.journal) if record.position > seen]
    moved = before_micro - after_micro
    return Live(
        session_id=session.session_id,
        session=encode_session(state),
        wallet=system.payer.purse(LOCAL).state.encode(),
        finance=finance.encode(finance.fold(news, books)),
        ledger=encode_ledger(await ledger.state()),
        model_calls=state.totals.steps,
        wallet_address=wallet,
        since=seen,
        proofs=[
            Proof("the price was paid", f"{format_micro(moved)} moved, once", moved == payment.reserved.amount_micro),
            again,
        ],
    )


async def _paid(system: System, since: int) -> Payment:
    """The payment of this run."""
    wallet = wallet_stream(LOCAL, system.identity.wallet.address)
    for record in await stream_in(system.journal, wallet.session_id):
        event = read_finance(record) if record.position > since else None
        if isinstance(event, events.PaymentSettled) and event.payment_id is not None:
            payment = system.payer.purse(LOCAL).state.payment(event.payment_id)
            if payment is not None:
                return payment
    raise NothingBoughtError("The agent did not buy anything; the journal of its session says why.")


async def _tell_story(system: System, session_id: str, payment: Payment, tell: Tell) -> None:
    """The middle of the story, told from the journal."""
    reserved = payment.reserved
    for record in await stream_in(system.journal, session_id):
        kind = record.kind
        if isinstance(kind, aios_events.ToolCallRequested):
            tell(Line("tool call", f"{kind.tool_name} {json.dumps(kind.arguments)}"))
    offer = msgspec.json.decode(bytes(reserved.accepted), type=PaymentRequirements)
    tell(Line("402", f"the shop asks for {offer.amount} atomic units of {offer.asset}, to {offer.pay_to}"))
    policy = system.payer.policy
    tell(
        Line(
            "decision",
            f"allowed: up to {format_micro(policy.auto_approve_cap_micro)} need no approval, "
            f"{format_micro(policy.session_spend_cap_micro)} a session",
        )
    )
    tell(Line("", f"reserved on disk before anything is signed: payment {reserved.payment_id}"))
    tell(Line("signature", f"{(payment.signature or '')[:42]}… (EIP-3009, nonce {reserved.nonce[:18]}…)"))
    until = format_timestamp(reserved.valid_before_s * 1_000_000)[:19]
    tell(Line("", f"good until {until} UTC, for exactly this payee and amount"))
    for record in await stream_in(system.journal, f"ledger:{LOCAL}"):
        moved = from_kind(record.kind)
        if isinstance(moved, LedgerTransferred) and "0x" + moved.nonce == reserved.nonce:
            tell(Line("settlement", f"{moved.value_atomic} moved by {moved.transaction[:38]}…"))
    for record in await stream_in(system.journal, session_id):
        kind = record.kind
        if isinstance(kind, aios_events.ToolCallCompleted) and isinstance(kind.result, Mapping):
            tell(Line("answer", f"{kind.result.get('status')} {kind.result.get('content')}"))


async def _present_again(system: System, shop: str, payment: Payment, balance_micro: int) -> Proof:
    """Send the very same signed payment a second time, past every safeguard of the payer's."""
    header = await system.payer.sign_again(payment)
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{shop}/paid", headers={PAYMENT_SIGNATURE: header})
        runs = (await client.get(f"{shop}/hits")).json()["paid"]
    said = answer.headers.get(PAYMENT_RESPONSE)
    settlement = None if said is None else decode_payment_response(said)
    now_micro = await system.ledger.balance(system.identity.wallet.address, asset=PLAY_MONEY.address)
    holds = (
        answer.status_code == 200
        and settlement is not None
        and settlement.transaction == payment.transaction
        and now_micro == balance_micro
        and runs == 1
    )
    paid = format_micro(balance_micro - now_micro)
    found = f"answered {answer.status_code} with the first transaction, {paid} paid, the handler ran {runs}×"
    return Proof("the same payment again", found, holds)


def _age(is_new: bool) -> str:
    return "made just now" if is_new else "this project's own"


# --- the shop ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _shop(system: System, listener: socket.socket) -> AsyncIterator[None]:
    """The paid endpoint, served until the block ends."""
    facilitator = SelfHostedFacilitator([system.ledger], system.journal, system.clock, system.entropy)
    await facilitator.start()
    tills: list[X402Middleware] = []

    def till(app: ASGIApp, routes: dict[str, Route]) -> X402Middleware:
        tills.append(
            X402Middleware(
                app,
                routes=routes,
                pay_to=PAYEE,
                network=LOCAL,
                facilitator=facilitator,
                journal=system.journal,
                clock=system.clock,
                entropy=system.entropy,
            )
        )
        return tills[-1]

    shop = demo_seller_app(PRICE, till)
    shop.middleware_stack = shop.build_middleware_stack()
    await tills[0].start()
    try:
        async with _served(shop, listener):
            yield
    finally:
        await tills[0].aclose()
        await facilitator.aclose()


class _Server(uvicorn.Server):
    """Uvicorn that leaves signals to the program around it, and says when it answers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answers = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answers.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def _served(app: Starlette, listener: socket.socket) -> AsyncIterator[None]:
    server = _Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await server.answers.wait()
    try:
        yield
    finally:
        server.should_exit = True
        await serving
