"""A payer in a directory of its own, and one purchase of a person's command.

    async with open_payer(".life/wallet", key=key, network="eip155:84532") as payer:
        async with httpx2.AsyncClient(transport=AsyncPayingTransport(payer)) as client:
            answer = await client.get("https://example.org/report")

The directory holds the journal: every process that uses it shares its books and its caps. Opening it clears up first what
an earlier process left open.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import httpx2
import msgspec

from life.aios.errors import InvalidInputError, LifeError, UnavailableError
from life.aios.money import atomic_to_micro
from life.aios.ports.clock import Clock, Entropy
from life.anima.custody.wallet_rules import WalletRules
from life.haima.approvals import Ticket
from life.haima.chain.cancelling import AuthorizationCanceller
from life.haima.chain.json_rpc import JsonRpc
from life.haima.errors import OutcomeUnknownError, PaymentRefusedError
from life.haima.events import PayeeAlarm
from life.haima.payer import Payer
from life.haima.policy import MAX_AMOUNT_MICRO, PayeeChange, PaymentPolicy
from life.haima.transfer_account import TransferAccount
from life.haima.x402.driving import CONTEXT, RECEIPT, purchase_request
from life.haima.x402.networks import BUILT_IN, KnownToken, is_solana
from life.haima.x402.payment_header import SETTLEMENT_HEADERS
from life.haima.x402.purchase import Receipt
from life.haima.x402.transport import AsyncPayingTransport
from life.haima.x402.wire import PAYMENT_REQUIRED, SettlementResponse, decode_payment_response
from life.host.clock import SystemClock, SystemEntropy
from life.host.haima_chain import AllowanceLookup, AuthorizationLookup
from life.host.haima_directory import JOURNAL_FILE, open_directory
from life.host.haima_purchases import Purchases
from life.host.haima_wallet import read_any_network, wallet_of_identity, wallet_of_key
from life.host.keys import Prompt, nobody
from life.host.settings import PaymentSettings, load_settings
from life.host.solana_wallet import require_solana, wallet_of_solana_key
from life.lago.journal.sqlite import SqliteJournal
from life.praxis.egress import EgressClient, EgressPolicy

MAX_PAYMENT_ATOMIC: Final = 1_000_000
"""What one payment may cost unless the caller says otherwise: 1 USDC."""

_NO_RATE: Final = 2**31
"""Payments a minute: a person's own command is not rationed, its caps are amounts."""
_CONNECT_TIMEOUT_S: Final = 10.0


@asynccontextmanager
async def open_payer(
    directory: Path | str,
    *,
    network: str,
    key: str | None = None,
    max_payment_atomic: int = MAX_PAYMENT_ATOMIC,
    total_cap_atomic: int | None = None,
    rpc_url: str | None = None,
    gas_key: str | None = None,
    allow_insecure_http: bool = False,
    ask_above_atomic: int | None = None,
    on_payee_change: PayeeChange = "alarm",
    on_question: Callable[[Ticket], None] | None = None,
    on_alarm: Callable[[PayeeAlarm], None] | None = None,
    environment: Mapping[str, str] | None = None,
    prompt: Prompt = nobody,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
) -> AsyncIterator[Payer]:
    """A payer on one network (CAIP-2 or alias), with its journal in `directory`.

    `key` is `0x` and 64 hex digits; without one the project's identity in this directory pays, within its soul's limits and
    the total cap of its settings. On Solana (`solana`, `solana-devnet`) it is a key as Solana's own tools write it, and both
    `key` and `rpc_url` are needed: a payment there is made over a block of the chain. Up to `max_payment_atomic` a payment needs no further approval, above it is declined.
    `total_cap_atomic` is kept with the wallet: it binds every process of this directory until another one is set. With
    `rpc_url` the chain is asked about payments whose outcome is open, and Permit2 payments bring their allowance.
    With `gas_key`, too (the key of an account that pays gas and is used for nothing else), `payer.cancel` burns payments that
    are in doubt.

    Above `ask_above_atomic` a payment waits for a person (`haima approvals`); so does one to a seller that changed, when
    `on_payee_change` is `ask`. `on_question` and `on_alarm` hear of both.

    InvalidInputError for a key, network or amount that can't be right; the errors of the journal, the directory, the
    identity and the chain's node.
    """
    environment = os.environ if environment is None else environment
    clock, entropy = clock or SystemClock(), entropy or SystemEntropy()
    token = _token_on(network)
    policy = _policy(token, max_payment_atomic, total_cap_atomic, ask_above_atomic, on_payee_change)
    root = Path(directory)
    rules = WalletRules(require_reservation=True)
    async with AsyncExitStack() as stack:
        if is_solana(token.network):
            if gas_key is not None:
                raise InvalidInputError(
                    "Payments on Solana can't be cancelled: they end with their block, within minutes."
                )
            account = await _solana_account(token.network, key, rpc_url, stack)
            path = open_directory(root) / JOURNAL_FILE
            journal = await stack.enter_async_context(SqliteJournal.open(path, clock=clock))
            payer = await stack.enter_async_context(
                Payer(
                    journal=journal,
                    custody=None,
                    clock=clock,
                    entropy=entropy,
                    agent_id="haima-pay",
                    policy=policy,
                    allow_insecure_http=allow_insecure_http,
                    on_question=on_question,
                    on_alarm=on_alarm,
                    solana=account,
                )
            )
            if total_cap_atomic is not None:
                await _keep_cap(payer, token, total_cap_atomic)
            yield payer
            return
        if key is None:
            wallet = await wallet_of_identity(root, environment=environment, prompt=prompt, clock=clock, rules=rules)
            policy = _within_settings(policy, load_settings(root / "config.toml", environment).payments)
        else:
            wallet = wallet_of_key(key, clock=clock, rules=rules, agent_id="haima-pay")
        stack.callback(wallet.custody.close)
        lookup: AuthorizationLookup | None = None
        allowances: AllowanceLookup | None = None
        canceller: AuthorizationCanceller | None = None
        if gas_key is not None and rpc_url is None:
            raise InvalidInputError("A gas key is for cancelling payments on a chain: name its node, too (rpc_url).")
        if rpc_url is not None:
            rpc = JsonRpc(rpc_url)
            stack.push_async_callback(rpc.aclose)
            lookup = AuthorizationLookup(rpc, network=token.network, clock=clock)
            await lookup.open()
            allowances = AllowanceLookup(rpc, network=token.network)
            if gas_key is not None:
                gas = wallet_of_key(gas_key, clock=clock, rules=WalletRules(), agent_id="haima-gas")
                stack.callback(gas.custody.close)
                canceller = AuthorizationCanceller(rpc, network=token.network, gas_custody=gas.custody, clock=clock)
        path = open_directory(root) / JOURNAL_FILE
        journal = await stack.enter_async_context(SqliteJournal.open(path, clock=clock))
        payer = await stack.enter_async_context(
            Payer(
                journal=journal,
                custody=wallet.custody,
                clock=clock,
                entropy=entropy,
                agent_id=wallet.agent_id,
                policy=policy,
                soul=wallet.soul,
                authorization_state=lookup,
                allowances=allowances,
                canceller=canceller,
                allow_insecure_http=allow_insecure_http,
                on_question=on_question,
                on_alarm=on_alarm,
            )
        )
        if total_cap_atomic is not None:
            await _keep_cap(payer, token, total_cap_atomic)
        yield payer


async def _solana_account(network: str, key: str | None, rpc_url: str | None, stack: AsyncExitStack) -> TransferAccount:
    """The wallet and its node. InvalidInputError when one is missing, or the node serves another network."""
    if key is None:
        raise InvalidInputError(
            "A payment on Solana needs a key of its own: the project's identity has none there.",
            next_step="Export HAIMA_SOLANA_KEY, as solana-keygen writes it or in base58.",
        )
    if rpc_url is None:
        raise InvalidInputError(
            "A payment on Solana is made over a block of the chain.", next_step="Name a node of the network (--rpc)."
        )
    require_solana()
    from life.haima.solana.paying import SolanaAccount
    from life.haima.solana.rpc import SolanaRpc

    wallet = wallet_of_solana_key(key, role="payer")
    stack.callback(wallet.close)
    rpc = SolanaRpc(JsonRpc(rpc_url))
    stack.push_async_callback(rpc.aclose)
    account = SolanaAccount(wallet, rpc, network=network)
    await account.open()
    return account


@asynccontextmanager
async def untrusted_client(
    payer: Payer, *, allow_private_hosts: tuple[str, ...] = (), timeout_s: float = 60.0
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that pays and connects to public addresses only, for URLs that somebody else chose (W12): names are resolved
    once and every address is checked where the connection is made, also after redirects.

    `allow_private_hosts`: `host` or `host:port` patterns that may be private all the same.
    """
    policy = EgressPolicy(allow_private_hosts=allow_private_hosts)
    async with EgressClient(policy, wrap=lambda inner: AsyncPayingTransport(payer, inner)) as client:
        client.timeout = httpx2.Timeout(timeout_s, connect=min(_CONNECT_TIMEOUT_S, timeout_s))
        yield client


async def _keep_cap(payer: Payer, token: KnownToken, total_cap_atomic: int) -> None:
    purse = payer.purse(token.network)
    cap_micro = _micro(token, total_cap_atomic)
    if purse.state.total_cap_micro != cap_micro:
        await purse.set_total_cap(cap_micro)


def _token_on(network: str) -> KnownToken:
    known = read_any_network(network)
    token = BUILT_IN.default_token(known.caip2)
    if token is None:
        names = ", ".join(entry.caip2 for entry in BUILT_IN.networks)
        raise InvalidInputError(
            f"No token is known on {known.caip2}, so nothing can be paid for there.", next_step=f"Known: {names}."
        )
    return token


def _policy(
    token: KnownToken,
    max_payment_atomic: int,
    total_cap_atomic: int | None,
    ask_above_atomic: int | None,
    on_payee_change: PayeeChange,
) -> PaymentPolicy:
    """The policy of a person's own command: being run is the approval, amounts are the limits."""
    if max_payment_atomic < 0 or (total_cap_atomic or 0) < 0 or (ask_above_atomic or 0) < 0:
        raise InvalidInputError("An amount must not be negative.")
    limit_micro = _micro(token, max_payment_atomic)
    return PaymentPolicy(
        auto_approve_cap_micro=limit_micro if ask_above_atomic is None else _micro(token, ask_above_atomic),
        hard_cap_per_tx_micro=limit_micro,
        on_payee_change=on_payee_change,
        session_spend_cap_micro=MAX_AMOUNT_MICRO,
        total_cap_micro=None if total_cap_atomic is None else _micro(token, total_cap_atomic),
        max_tx_per_minute=_NO_RATE,
        networks=(token.network,),
    )


def _within_settings(policy: PaymentPolicy, settings: PaymentSettings) -> PaymentPolicy:
    """What the project's settings say about the agent's wallet as a whole also binds commands that use it."""
    caps = [cap for cap in (policy.total_cap_micro, settings.total_spend_cap_micro) if cap is not None]
    return msgspec.structs.replace(policy, enabled=settings.enabled, total_cap_micro=min(caps, default=None))


def _micro(token: KnownToken, amount_atomic: int) -> int:
    return min(atomic_to_micro(amount_atomic, token.decimals), MAX_AMOUNT_MICRO)


# --- one purchase -----------------------------------------------------------------------------------------------------


class Wanted(NamedTuple):
    """What a command asks for."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class Outcome(NamedTuple):
    """What a command has to tell. `status` is that of the last answer, None when the last request got none."""

    status: int | None
    settlement: SettlementResponse | None
    error: LifeError | None
    receipt: Receipt | None = None
    is_repeated: bool = False
    """Whether this finished the purchase of an earlier command."""
    is_complete: bool = True
    """Whether the body, if there was one, came to its end."""


class UnexpectedAnswerError(LifeError):
    """The server answered a command with a status that is not 2xx. An instance's code is `http.<status>`."""

    code = "http.unexpected_status"
    status = 502

    def __init__(self, status: int, message: str, *, next_step: str | None = None) -> None:
        super().__init__(message, next_step=next_step)
        self.code = f"http.{status}"  # type: ignore[misc]


async def buy(
    payer: Payer,
    wanted: Wanted,
    *,
    purchases: Purchases,
    body: Callable[[bytes], None],
    tell: Callable[[Outcome], None],
    anew: bool = False,
    timeout_s: float = 60.0,
    approval_wait_s: int = 0,
) -> Outcome:
    """Fetch, and pay where it is asked for. The answer's body goes to `body` piece by piece, then `tell` gets the outcome;
    only when both have returned the purchase counts as delivered. Refusals and failures are outcomes, not exceptions.
    `approval_wait_s`: how long to wait for a person, when one has to decide."""
    line = _Line()
    timeout = httpx2.Timeout(timeout_s, connect=min(_CONNECT_TIMEOUT_S, timeout_s))
    async with httpx2.AsyncClient(
        transport=AsyncPayingTransport(payer, line), timeout=timeout, trust_env=False
    ) as client:
        request = _request(client, wanted)
        purchase = await purchases.begin(payer, purchase_request(request, wanted.body).key(), anew=anew)
        request.extensions[CONTEXT] = {"purchase_id": purchase.purchase_id, "approval_wait_s": approval_wait_s}
        try:
            outcome = await _exchange(client, request, line, body, is_repeated=purchase.is_repeated)
            tell(outcome)
            if outcome.error is None and outcome.receipt is not None:
                payer.note_delivered(outcome.receipt.payment)
                await payer.flush()
            return outcome
        finally:
            await purchase.end(payer)


class _Line(httpx2.AsyncBaseTransport):
    """The transport beneath the one that pays. Remembers the last answer's status and settlement."""

    def __init__(self) -> None:
        self._inner = httpx2.AsyncHTTPTransport()
        self.status: int | None = None
        self.settlement: SettlementResponse | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """See httpx2."""
        self.status = self.settlement = None
        response = await self._inner.handle_async_request(request)
        self.status = response.status_code
        header = next((found for name in SETTLEMENT_HEADERS if (found := response.headers.get(name))), None)
        if header is not None:
            try:
                self.settlement = decode_payment_response(header)
            except LifeError:
                pass  # it says nothing
        return response

    async def aclose(self) -> None:
        """See httpx2."""
        await self._inner.aclose()


def _request(client: httpx2.AsyncClient, wanted: Wanted) -> httpx2.Request:
    try:
        request = client.build_request(
            wanted.method, wanted.url, headers=list(wanted.headers), content=wanted.body or None
        )
    except (httpx2.InvalidURL, ValueError, TypeError):
        raise InvalidInputError("The URL or a header can't be right.") from None
    if request.url.scheme not in ("http", "https") or not request.url.host:
        raise InvalidInputError("The URL must begin with http:// or https:// and name a host.")
    return request


async def _exchange(
    client: httpx2.AsyncClient,
    request: httpx2.Request,
    line: _Line,
    body: Callable[[bytes], None],
    *,
    is_repeated: bool,
) -> Outcome:
    receipt: Receipt | None = None
    try:
        response = await client.send(request, stream=True)
        receipt = response.extensions.get(RECEIPT)
        if line.settlement is None and receipt is not None:
            line.settlement = receipt.settlement  # a seller of the other rail said it in its receipt
        try:
            async for part in response.aiter_bytes():
                body(part)
        finally:
            await response.aclose()
    except (httpx2.HTTPError, ssl.SSLError) as error:
        return Outcome(line.status, line.settlement, _lost(error, request, receipt), receipt, is_repeated, False)
    except LifeError as error:
        return Outcome(line.status, line.settlement, error, receipt, is_repeated, False)
    return Outcome(
        response.status_code, line.settlement, _refusal(response, receipt, line.settlement), receipt, is_repeated
    )


def _lost(error: httpx2.HTTPError | ssl.SSLError, request: httpx2.Request, receipt: Receipt | None) -> LifeError:
    """A connection that failed. (While a payment was under way it is an OutcomeUnknownError already.)"""
    what = type(error).__name__
    if receipt is not None:
        return OutcomeUnknownError(
            f"The answer to the payment broke off ({what}).",
            next_step="Repeat the same command: the identical payment is sent again and can't be charged twice.",
        )
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return UnavailableError(f"No connection to {request.url.host} ({what}). Nothing was sent, nothing was paid.")
    return UnavailableError(f"{request.url.host} gave no answer ({what}). Nothing was paid.")


def _refusal(
    response: httpx2.Response, receipt: Receipt | None, settlement: SettlementResponse | None
) -> LifeError | None:
    """What is wrong with an answer; None for 2xx."""
    status = response.status_code
    if response.is_success:
        return None
    if receipt is not None and receipt.state == "refused":
        message = settlement.error_message if settlement is not None else None
        return PaymentRefusedError(
            receipt.reason,
            f"The seller refused the payment: {receipt.reason}." + (f" {message}" if message else ""),
            details={"payment_id": receipt.payment.payment_id},
        )
    words = f"{status} {response.reason_phrase}".strip()
    if status == 402 and PAYMENT_REQUIRED not in response.headers:
        return UnexpectedAnswerError(status, f"The server answered {words} without terms that x402 knows.")
    if response.is_redirect:
        target = response.headers.get("location", "")
        return UnexpectedAnswerError(
            status, f"The server answered {words}: it is elsewhere.", next_step=f"Ask for {target[:500]}"
        )
    paid = " It was paid for." if receipt is not None else " Nothing was paid."
    return UnexpectedAnswerError(status, f"The server answered {words}.{paid}")
