"""Play money: an EIP-155 network that lives in the journal.

Balances, used authorizations and transactions are events on the stream `ledger:<network>`; the state is a fold over them,
and every append names the head it was decided on, so several processes over one journal agree. The rules are EIP-3009's as
USDC enforces them on chain: strict window, every nonce once, funds, low s, signature of an account without code. What a
chain would refuse in execution is here, too, a transaction that reverts.

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
from life.aios.ports.chain import AuthorizationState, Prepared, Refusal, Settlement
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.custody import TransferAuthorization
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord, EventWriter, NewEvent, Stream
from life.crypto.errors import CryptoError
from life.crypto.keccak import keccak256
from life.crypto.secp256k1 import recover_address
from life.haima.chain import ledger_events as events
from life.haima.chain.token_calls import address_bytes
from life.haima.errors import ChainRefusedError
from life.haima.x402 import codes, exact
from life.haima.x402.networks import chain_id_of

HASH_PREFIX: Final = "local:"
"""Starts every transaction hash of a local ledger, and no real one."""

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
    """The bytes of a prepared transaction."""

    authorization: TransferAuthorization
    signature: bytes
    salt: bytes


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
            self.transfers[_nonce_key(event.asset, event.from_address, bytes.fromhex(event.nonce))] = event
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
        """Whether `payer` has used this nonce on `asset`, as the token itself would answer."""
        await self._sync()
        return "used" if _nonce_key(asset, payer, nonce) in self._state.transfers else "unused"

    # ---- the Chain port

    async def check(self, authorization: TransferAuthorization, signature: bytes) -> Refusal | None:
        """Whether a transfer executed now would go through."""
        await self._sync()
        return self._refusal(authorization, signature)

    async def prepare(self, authorization: TransferAuthorization, signature: bytes) -> Prepared:
        """The transaction's bytes and its hash. Nothing is reserved, so nothing needs to be given back."""
        if authorization.network != self._network:
            raise ChainRefusedError(codes.NETWORK_MISMATCH)
        raw = _raw_encoder.encode(_RawTransfer(authorization, signature, self._entropy.token_bytes(16)))
        return Prepared(HASH_PREFIX + keccak256(raw).hex(), raw)

    async def broadcast(self, prepared: Prepared) -> None:
        """Execute it: one event says that it moved the money or that it reverted. Executed once, however often sent."""
        try:
            raw = _raw_decoder.decode(prepared.raw)
        except msgspec.DecodeError:
            raise ChainRefusedError(codes.INVALID_PAYLOAD, "These bytes are no transaction of this ledger.") from None
        async with self._lock:
            for _ in range(_MAX_ATTEMPTS):
                await self._catch_up()
                if prepared.transaction_hash in self._state.outcomes:
                    return
                event = self._execute(prepared.transaction_hash, raw)
                try:
                    await self._journal.append([event], expected={self._stream: self._state.sequence})
                except SequenceConflictError:
                    continue
                return
        raise UnavailableError("The local ledger is too busy: other processes were always first.")

    async def abandon(self, prepared: Prepared) -> None:
        """Nothing to give back."""

    async def settlement(self, transaction_hash: str, authorization: TransferAuthorization) -> Settlement:
        """What became of it; confirmed, too, when another transaction carried out the same authorization."""
        await self._sync()
        outcome = self._state.outcomes.get(transaction_hash)
        if outcome is not None and outcome.state == "confirmed":
            return outcome
        key = _nonce_key(authorization.asset, authorization.from_address, authorization.nonce)
        transfer = self._state.transfers.get(key)
        if transfer is not None and _carries_out(transfer, authorization):
            return self._state.outcomes[transfer.transaction]
        return outcome or Settlement("not_found", transaction_hash)

    # ---- execution

    def _execute(self, transaction_hash: str, raw: _RawTransfer) -> NewEvent:
        """The event that follows from the state as it is."""
        authorization = raw.authorization
        refusal = self._refusal(authorization, raw.signature)
        kind: events.LedgerEvent
        if refusal is not None:
            kind = events.LedgerReverted(network=self._network, transaction=transaction_hash, reason=refusal.code)
        else:
            kind = events.LedgerTransferred(
                network=self._network,
                asset=authorization.asset,
                from_address=authorization.from_address,
                to_address=authorization.to_address,
                value_atomic=str(authorization.value_atomic),
                nonce=authorization.nonce.hex(),
                transaction=transaction_hash,
            )
        return self._writer.event(
            events.to_kind(kind), event_id=derived_event_id("ledger.transaction", self._network, transaction_hash)
        )

    def _refusal(self, authorization: TransferAuthorization, signature: bytes) -> Refusal | None:
        """FiatTokenV2's checks in its order, each with the code of x402.md §7."""
        if authorization.network != self._network:
            return Refusal(codes.NETWORK_MISMATCH, f"This ledger is {self._network}.")
        now_s = self._clock.now_us() // 1_000_000
        if not now_s > authorization.valid_after_s:
            return Refusal(codes.VALID_AFTER, "authorization is not yet valid")
        if not now_s < authorization.valid_before_s:
            return Refusal(codes.VALID_BEFORE, "authorization is expired")
        key = _nonce_key(authorization.asset, authorization.from_address, authorization.nonce)
        if key in self._state.transfers:
            return Refusal(codes.NONCE_ALREADY_USED, "authorization is used or canceled")
        if not _is_signed_by_payer(authorization, signature):
            return Refusal(codes.INVALID_SIGNATURE, "invalid signature")
        if address_bytes(authorization.to_address) == _ZERO_ADDRESS:
            return Refusal(codes.SIMULATION_FAILED, "transfer to the zero address")
        if self._state.balance(authorization.asset, authorization.from_address) < authorization.value_atomic:
            return Refusal(codes.INSUFFICIENT_BALANCE, "transfer amount exceeds balance")
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


def _nonce_key(asset: str, payer: str, nonce: bytes) -> _Nonce:
    return address_bytes(asset), address_bytes(payer), nonce


def _is_signed_by_payer(authorization: TransferAuthorization, signature: bytes) -> bool:
    """EIP-712 over the authorization, by a plain key with a low s (EIP-2)."""
    try:
        signer = recover_address(exact.digest(authorization), signature)
    except CryptoError:
        return False
    return signer == address_bytes(authorization.from_address)


def _carries_out(transfer: events.LedgerTransferred, authorization: TransferAuthorization) -> bool:
    """Whether a transfer is the very one that was authorized."""
    return (
        address_bytes(transfer.to_address) == address_bytes(authorization.to_address)
        and int(transfer.value_atomic) == authorization.value_atomic
    )
