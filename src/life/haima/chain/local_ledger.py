"""Play money: an EIP-155 network that lives in the journal.

Balances, used authorizations and transactions are events on the stream `ledger:<network>`; the state is a fold over them,
and every append names the head it was decided on, so several processes over one journal agree. The rules are EIP-3009's as
USDC enforces them on chain: strict window, every nonce once, funds, low s, signature of an account without code. Permits are
carried out by the rules of Permit2 and x402's proxies; there are no allowances here, Permit2 counts as allowed by everybody.
What a chain would refuse in execution is here, too, a transaction that reverts. Nobody pays gas, and `SETTLER` is the account
that an `upto` payment names as its facilitator.

Nothing here has value outside this journal. So that it can't be taken for real, transaction hashes look like
`local:<64 hex digits>`. Money appears only by `fund` (an event) or by `fund_development_accounts`, which gives the ten
publicly known development accounts of anvil and Hardhat a balance, as those tools do at their start. Everybody knows their
keys.

Source: ARCHITECTURE.md (haima/chain/local_ledger), haima.md §3.5 backend 3, EIP-3009, FiatTokenV2's revert reasons.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from life.aios.errors import EventConflictError, InvalidInputError, SequenceConflictError, UnavailableError
from life.aios.events import Custom
from life.aios.ids import derived_event_id
from life.aios.money import MAX_ATOMIC
from life.aios.ports.chain import AuthorizationState, Prepared, Refusal, Settlement, SignedPermit
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.custody import PaymentAuthorization, PermitTransfer, TransferAuthorization
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord, EventWriter, NewEvent, Stream
from life.crypto.keccak import keccak256
from life.crypto.permit2 import EXACT_PROXY, PERMIT2, UPTO_PROXY
from life.haima.chain import ledger_events as events
from life.haima.chain.abi import address_bytes
from life.haima.errors import ChainRefusedError
from life.haima.x402 import codes
from life.haima.x402.authorization import is_signed_by_key
from life.haima.x402.networks import chain_id_of

HASH_PREFIX: Final = "local:"
"""Starts every transaction hash of a local ledger, and no real one."""

SETTLER: Final = "0xfFFfA72F3727491C5D4b75ccF361533e36DEa377"
"""The last 20 bytes of Keccak-256("life local ledger: settler"); nobody has its key, and nobody needs it."""

DEVELOPMENT_ACCOUNTS: Final = (
    "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
    "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
    "0x90F79bf6EB2c4f870365E785982E1f101E93b906",
    "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65",
    "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc",
    "0x976EA74026E726554dB657fA54763abd0C3a0aa9",
    "0x14dC79964da2C08b23698B3D3cc7Ca32193d9955",
    "0x23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f",
    "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720",
)
"""What `anvil` and `npx hardhat node` print at start, from the mnemonic "test test … junk"."""
DEVELOPMENT_BALANCE_ATOMIC: Final = 10_000_000_000
"""10,000 play USDC each."""

_PAGE: Final = 1000
_MAX_ATTEMPTS: Final = 100
_ZERO_ADDRESS: Final = bytes(20)


class _RawTransfer(msgspec.Struct, frozen=True, array_like=True):
    """The bytes of a prepared transaction. Of a permit, numbers are text: msgpack ends at 64 bits."""

    transfer: TransferAuthorization | None
    signature: bytes
    salt: bytes
    permit: tuple[str, ...] = ()
    value_atomic: str | None = None

    @property
    def authorization(self) -> PaymentAuthorization:
        """What it carries out. ValueError when there is nothing."""
        return _permit_of(self.permit) if self.transfer is None else self.transfer


_raw_encoder: Final = msgspec.msgpack.Encoder()
_raw_decoder: Final = msgspec.msgpack.Decoder(_RawTransfer)

_Account = tuple[bytes, bytes]
_Nonce = tuple[bytes, bytes, bytes]


class LedgerState:
    """The fold over a ledger's stream: who holds what, which authorizations are used, what became of transactions."""

    def __init__(self) -> None:
        self.sequence = 0
        self.balances: dict[_Account, int] = {}
        self.transfers: dict[_Nonce, events.LedgerTransferred] = {}
        self.outcomes: dict[str, Settlement] = {}

    def apply(self, record: EventRecord) -> None:
        """Take in the next event of the stream. Unknown events change nothing but the place in the stream."""
        self.sequence = record.sequence
        event = events.from_kind(record.kind)
        if isinstance(event, events.LedgerFunded):
            self._add(event.asset, event.address, int(event.amount_atomic))
        elif isinstance(event, events.LedgerTransferred):
            value = int(event.value_atomic)
            self._add(event.asset, event.from_address, -value)
            self._add(event.asset, event.to_address, value)
            burner = PERMIT2 if event.permit2 else event.asset
            self.transfers[_nonce_key(burner, event.from_address, bytes.fromhex(event.nonce))] = event
            self.outcomes[event.transaction] = Settlement("confirmed", event.transaction, record.sequence)
        elif isinstance(event, events.LedgerReverted):
            self.outcomes[event.transaction] = Settlement("reverted", event.transaction, record.sequence, event.reason)

    def balance(self, asset: str, address: str) -> int:
        """Atomic units of a token that an address holds."""
        return self.balances.get((address_bytes(asset), address_bytes(address)), 0)

    def _add(self, asset: str, address: str, amount: int) -> None:
        key = (address_bytes(asset), address_bytes(address))
        self.balances[key] = self.balances.get(key, 0) + amount


class LocalLedger:
    """A Chain port over a journal. Several instances and processes may share one network's stream."""

    def __init__(
        self, journal: Journal, clock: Clock, entropy: Entropy, *, network: str, agent_id: str = "ledger"
    ) -> None:
        """`network` is any `eip155:<id>`; signatures are bound to that chain id."""
        if chain_id_of(network) is None:
            raise InvalidInputError(f"{network} is no EVM network; it must look like eip155:8453.")
        self._network = network
        self._journal = journal
        self._clock = clock
        self._entropy = entropy
        self._stream = Stream(f"ledger:{network}")
        self._writer = EventWriter(clock, entropy, agent_id=agent_id, stream=self._stream)
        self._lock = asyncio.Lock()
        self._state = LedgerState()

    @property
    def network(self) -> str:
        """CAIP-2 name."""
        return self._network

    @property
    def settler(self) -> str:
        """The account that `upto` payments name here."""
        return SETTLER

    # ---- money

    async def fund(self, address: str, amount_atomic: int, *, asset: str, reason: str = "fund") -> None:
        """Create play money: an event that adds `amount_atomic` of `asset` to `address`."""
        if not 0 < amount_atomic <= MAX_ATOMIC:
            raise InvalidInputError("The amount must be between 1 and 2^256-1 atomic units.")
        await self._journal.append([self._writer.event(self._funding(address, amount_atomic, asset, reason))])

    async def fund_development_accounts(self, asset: str, *, amount_atomic: int = DEVELOPMENT_BALANCE_ATOMIC) -> None:
        """Give each publicly known development account its balance, once per network and asset, however often called."""
        batch = [
            self._writer.event(
                self._funding(address, amount_atomic, asset, "development account"),
                event_id=derived_event_id("ledger.genesis", self._network, asset.lower(), address.lower()),
            )
            for address in DEVELOPMENT_ACCOUNTS
        ]
        try:
            await self._journal.append(batch)
        except EventConflictError:
            return  # another process, with another amount or name, was first

    async def balance(self, address: str, *, asset: str) -> int:
        """Atomic units that an address holds now."""
        await self._sync()
        return self._state.balance(asset, address)

    async def state(self) -> LedgerState:
        """The fold as of now. Treat it as read-only."""
        await self._sync()
        return self._state

    async def authorization_state(self, asset: str, payer: str, nonce: bytes) -> AuthorizationState:
        """Whether `payer` has used this nonce on `asset`, as the token itself would answer. `unknown` when this journal keeps no
        ledger: then it is another process's journal that would know."""
        await self._sync()
        if not self._state.sequence:
            return "unknown"
        return "used" if _nonce_key(asset, payer, nonce) in self._state.transfers else "unused"

    # ---- the Chain port

    async def check(
        self,
        authorization: PaymentAuthorization,
        signature: bytes,
        *,
        value_atomic: int | None = None,
        permit: SignedPermit | None = None,
    ) -> Refusal | None:
        """Whether a transfer executed now would go through. An allowance that came along is not needed here."""
        await self._sync()
        return self._refusal(authorization, signature, value_atomic)

    async def prepare(
        self,
        authorization: PaymentAuthorization,
        signature: bytes,
        *,
        value_atomic: int | None = None,
        permit: SignedPermit | None = None,
    ) -> Prepared:
        """The transaction's bytes and its hash. Nothing is reserved, so nothing needs to be given back."""
        if authorization.network != self._network:
            raise ChainRefusedError(codes.NETWORK_MISMATCH)
        raw = _raw_encoder.encode(
            _RawTransfer(
                None if isinstance(authorization, PermitTransfer) else authorization,
                signature,
                self._entropy.token_bytes(16),
                _texts_of(authorization) if isinstance(authorization, PermitTransfer) else (),
                None if value_atomic is None else str(value_atomic),
            )
        )
        return Prepared(HASH_PREFIX + keccak256(raw).hex(), raw)

    async def broadcast(self, prepared: Prepared) -> None:
        """Execute it: one event says that it moved the money or that it reverted. Executed once, however often sent."""
        try:
            raw = _raw_decoder.decode(prepared.raw)
            authorization = raw.authorization
            value = None if raw.value_atomic is None else int(raw.value_atomic)
        except (msgspec.DecodeError, ValueError):
            raise ChainRefusedError(codes.INVALID_PAYLOAD, "These bytes are no transaction of this ledger.") from None
        async with self._lock:
            for _ in range(_MAX_ATTEMPTS):
                await self._catch_up()
                if prepared.transaction_hash in self._state.outcomes:
                    return
                event = self._execute(prepared.transaction_hash, authorization, raw.signature, value)
                try:
                    await self._journal.append([event], expected={self._stream: self._state.sequence})
                except SequenceConflictError:
                    continue
                return
        raise UnavailableError("The local ledger is too busy: other processes were always first.")

    async def abandon(self, prepared: Prepared) -> None:
        """Nothing to give back."""

    async def settlement(
        self, transaction_hash: str, authorization: PaymentAuthorization, *, value_atomic: int | None = None
    ) -> Settlement:
        """What became of it; confirmed, too, when another transaction carried out the same authorization."""
        await self._sync()
        outcome = self._state.outcomes.get(transaction_hash)
        if outcome is not None and outcome.state == "confirmed":
            return outcome
        transfer = self._state.transfers.get(_burnt_by(authorization))
        if transfer is not None and _carries_out(transfer, authorization, value_atomic):
            return self._state.outcomes[transfer.transaction]
        return outcome or Settlement("not_found", transaction_hash)

    # ---- execution

    def _execute(
        self, transaction_hash: str, authorization: PaymentAuthorization, signature: bytes, value_atomic: int | None
    ) -> NewEvent:
        """The event that follows from the state as it is."""
        refusal = self._refusal(authorization, signature, value_atomic)
        kind: events.LedgerEvent
        if refusal is not None:
            kind = events.LedgerReverted(network=self._network, transaction=transaction_hash, reason=refusal.code)
        else:
            kind = events.LedgerTransferred(
                network=self._network,
                asset=authorization.asset,
                from_address=authorization.from_address,
                to_address=authorization.to_address,
                value_atomic=str(authorization.value_atomic if value_atomic is None else value_atomic),
                nonce=_burnt_by(authorization)[2].hex(),
                transaction=transaction_hash,
                permit2=isinstance(authorization, PermitTransfer),
            )
        return self._writer.event(
            events.to_kind(kind), event_id=derived_event_id("ledger.transaction", self._network, transaction_hash)
        )

    def _refusal(
        self, authorization: PaymentAuthorization, signature: bytes, value_atomic: int | None
    ) -> Refusal | None:
        """The checks of FiatTokenV2, or of x402's proxies and Permit2, in their order, with the codes of x402.md §7."""
        if authorization.network != self._network:
            return Refusal(codes.NETWORK_MISMATCH, f"This ledger is {self._network}.")
        now_s = self._clock.now_us() // 1_000_000
        if isinstance(authorization, PermitTransfer):
            return self._permit_refusal(authorization, signature, value_atomic, now_s)
        if not now_s > authorization.valid_after_s:
            return Refusal(codes.VALID_AFTER, "authorization is not yet valid")
        if not now_s < authorization.valid_before_s:
            return Refusal(codes.VALID_BEFORE, "authorization is expired")
        if _burnt_by(authorization) in self._state.transfers:
            return Refusal(codes.NONCE_ALREADY_USED, "authorization is used or canceled")
        if not is_signed_by_key(authorization, signature):
            return Refusal(codes.INVALID_SIGNATURE, "invalid signature")
        if address_bytes(authorization.to_address) == _ZERO_ADDRESS:
            return Refusal(codes.SIMULATION_FAILED, "transfer to the zero address")
        if self._state.balance(authorization.asset, authorization.from_address) < authorization.value_atomic:
            return Refusal(codes.INSUFFICIENT_BALANCE, "transfer amount exceeds balance")
        return None

    def _permit_refusal(
        self, permit: PermitTransfer, signature: bytes, value_atomic: int | None, now_s: int
    ) -> Refusal | None:
        is_upto = permit.facilitator is not None
        value = permit.value_atomic if value_atomic is None else value_atomic
        if address_bytes(permit.spender) != address_bytes(UPTO_PROXY if is_upto else EXACT_PROXY):
            return Refusal(codes.PERMIT2_SPENDER, "the permit is for another spender")
        if permit.facilitator is not None and address_bytes(permit.facilitator) != address_bytes(SETTLER):
            return Refusal(codes.UPTO_UNAUTHORIZED_FACILITATOR, "UnauthorizedFacilitator")
        if value > permit.value_atomic or (not is_upto and value != permit.value_atomic):
            return Refusal(codes.UPTO_AMOUNT_EXCEEDS_PERMITTED, "AmountExceedsPermitted")
        if address_bytes(permit.to_address) == _ZERO_ADDRESS:
            return Refusal(codes.PERMIT2_INVALID_DESTINATION, "InvalidDestination")
        if value <= 0:
            return Refusal(codes.PERMIT2_INVALID_AMOUNT, "InvalidAmount")
        if now_s < permit.valid_after_s:
            return Refusal(codes.PERMIT2_NOT_YET_VALID, "PaymentTooEarly")
        if now_s > permit.deadline_s:
            return Refusal(codes.PERMIT2_DEADLINE_EXPIRED, "SignatureExpired")
        if _burnt_by(permit) in self._state.transfers:
            return Refusal(codes.NONCE_ALREADY_USED, "InvalidNonce")
        if not is_signed_by_key(permit, signature):
            return Refusal(codes.PERMIT2_INVALID_SIGNATURE, "InvalidSigner")
        if self._state.balance(permit.asset, permit.from_address) < value:
            code = codes.PERMIT2_INSUFFICIENT_BALANCE if is_upto else codes.INSUFFICIENT_BALANCE
            return Refusal(code, "transfer amount exceeds balance")
        return None

    def _funding(self, address: str, amount_atomic: int, asset: str, reason: str) -> Custom:
        for what in (address, asset):
            try:
                address_bytes(what)
            except ValueError:
                raise InvalidInputError("An address has 0x and 40 hex digits.") from None
        return events.to_kind(
            events.LedgerFunded(
                network=self._network, asset=asset, address=address, amount_atomic=str(amount_atomic), reason=reason
            )
        )

    async def _sync(self) -> None:
        async with self._lock:
            await self._catch_up()

    async def _catch_up(self) -> None:
        state = self._state
        while True:
            query = EventQuery(self._stream.session_id, self._stream.branch_id, after_sequence=state.sequence)
            page = await self._journal.read(query, limit=_PAGE)
            for record in page:
                state.apply(record)
            if len(page) < _PAGE:
                return


def _nonce_key(contract: str, payer: str, nonce: bytes) -> _Nonce:
    return address_bytes(contract), address_bytes(payer), nonce


def _burnt_by(authorization: PaymentAuthorization) -> _Nonce:
    """The nonce that this authorization burns: the token keeps those of EIP-3009, Permit2 those of permits."""
    if isinstance(authorization, PermitTransfer):
        return _nonce_key(PERMIT2, authorization.from_address, authorization.nonce.to_bytes(32, "big"))
    return _nonce_key(authorization.asset, authorization.from_address, authorization.nonce)


def _carries_out(
    transfer: events.LedgerTransferred, authorization: PaymentAuthorization, value_atomic: int | None
) -> bool:
    """Whether a transfer is the very one that was authorized."""
    value = authorization.value_atomic if value_atomic is None else value_atomic
    return (
        address_bytes(transfer.to_address) == address_bytes(authorization.to_address)
        and address_bytes(transfer.asset) == address_bytes(authorization.asset)
        and int(transfer.value_atomic) == value
    )


def _texts_of(permit: PermitTransfer) -> tuple[str, ...]:
    return tuple("" if field is None else str(field) for field in permit[:10])


def _permit_of(texts: tuple[str, ...]) -> PermitTransfer:
    """The permit in a transaction's bytes; ValueError when there is none."""
    network, asset, payer, payee, value, spender, nonce, deadline_s, valid_after_s, facilitator = texts
    return PermitTransfer(
        network,
        asset,
        payer,
        payee,
        int(value),
        spender,
        int(nonce),
        int(deadline_s),
        int(valid_after_s),
        facilitator or None,
    )
