"""HardwareWalletAnima: a wallet in a Ledger, every use of which a person confirms on its screen (anima.md §13.5).

It is a wallet and nothing else: tokens are signed by another backend, put beside this one by `split.SplitAnima`, whose
rotation leaves the wallet alone (AN-HW-6). Rules and guard come first; the device is asked for what passed them, typed,
so that its screen shows what it signs and not a digest; the answer is checked against the configured address. Without the device
there is no signature, and nobody stands in for it (AN-HW-3).

The device computes each digest itself, with RFC 6979 nonces: asking again gives the same signature.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from life.aios.ports.clock import Clock
from life.aios.ports.custody import EvmTransaction
from life.anima.custody.errors import WrongAppError, WrongDeviceError
from life.anima.custody.external_keys import ExternalKey, ExternalKeysAnima
from life.anima.custody.ledger_apdu import (
    DEFAULT_PATH,
    encode_path,
    hashed_typed_data_command,
    message_commands,
    parse_signature,
    transaction_commands,
    typed_data_commands,
)
from life.anima.custody.ledger_device import LedgerDevice
from life.anima.custody.ledger_transport import LedgerTransport
from life.anima.custody.payment_typed_data import typed_data_of
from life.anima.custody.typed_requests import eip1559
from life.anima.custody.wallet_rules import CustodyObserver, PersonalMessage, WalletRequest, WalletRules
from life.anima.errors import CustodyInputError, CustodyProtocolError, UnsupportedOperationError
from life.crypto import rlp
from life.crypto.address import format_address, parse_address
from life.crypto.eip712 import TypedData
from life.crypto.errors import CryptoError
from life.crypto.keccak import keccak256
from life.crypto.transaction import TYPE_BYTE, Eip1559Transaction

CONFIRM_S: Final = 60.0
"""How long a person may take at the device, unless told otherwise."""

TypedDataForm = Literal["full", "full_or_hashed", "hashed"]
"""How payments are shown: with every member; by two hashes only where the app is too old for that; always by two hashes."""

_DEFAULT_RULES: Final = WalletRules()


@dataclass(frozen=True, kw_only=True)
class LedgerSettings:
    """Which wallet of the device, and how it is asked."""

    path: str = DEFAULT_PATH
    """Derivation path (BIP-32)."""
    address: str | None = None
    """The wallet's address. When it is given, any other device, seed or passphrase is refused (AN-HW-2)."""
    typed_data: TypedDataForm = "full"
    confirm_s: float = CONFIRM_S

    def __post_init__(self) -> None:
        encode_path(self.path)
        if self.typed_data not in ("full", "full_or_hashed", "hashed"):
            raise CustodyInputError("typed_data is 'full', 'full_or_hashed' or 'hashed'.")
        if not 0 < self.confirm_s <= 3600:
            raise CustodyInputError("confirm_s is between 0 and 3600 seconds.")
        try:
            parse_address(self.address or "0x" + "0" * 40)
        except CryptoError as error:
            raise CustodyInputError(f"The wallet's address can't be right: {error}.") from None


class LedgerKey:
    """The device's key. It signs typed requests only."""

    def __init__(self, public_key: bytes) -> None:
        self.public_key = public_key

    async def sign_digest(self, digest: bytes) -> bytes:
        """Never: a Ledger computes the digests that it signs."""
        raise UnsupportedOperationError("A hardware wallet signs no digests.")


class HardwareWalletAnima(ExternalKeysAnima):
    """The wallet half of the Custody port over a Ledger. Make one with `open`; close it."""

    def __init__(
        self,
        device: LedgerDevice,
        key: LedgerKey,
        *,
        form: TypedDataForm,
        clock: Clock,
        rules: WalletRules,
        observer: CustodyObserver | None,
    ) -> None:
        """Takes over `device`. Callers outside this module use `open`."""
        super().__init__(
            None, key, backend="hardware_wallet", clock=clock, rules=rules, observer=observer, user_confirmation=True
        )
        self._device = device
        self._form: TypedDataForm = form

    @classmethod
    async def open(
        cls,
        transport: LedgerTransport,
        settings: LedgerSettings,
        *,
        clock: Clock,
        rules: WalletRules = _DEFAULT_RULES,
        observer: CustodyObserver | None = None,
    ) -> HardwareWalletAnima:
        """The handle of the wallet at `settings.path`; nobody is asked to confirm anything.

        WrongDeviceError when it is not the configured address, and the errors of `LedgerDevice`.
        """
        device = LedgerDevice(transport, path=settings.path, confirm_s=settings.confirm_s)
        try:
            key = await device.wallet_key()
            own = format_address(parse_address(settings.address or key.address))
            if own != key.address:
                raise WrongDeviceError(
                    f"{transport.name} holds the wallet {key.address}, not {own}.",
                    next_step="Use the device, the passphrase and the path that the wallet was configured with.",
                    details={"expected": own, "found": key.address},
                )
            return cls(
                device, LedgerKey(key.public_key), form=settings.typed_data, clock=clock, rules=rules, observer=observer
            )
        except BaseException:
            await device.close()
            raise

    async def close(self) -> None:
        """Let the device go. Every later signing call is a StaleHandleError. May be called again."""
        await super().close()
        await self._device.close()

    async def check(self) -> None:
        """See that the device is there, unlocked, with the app open and this wallet on it; nothing is signed."""
        self._check_open()
        await self._device.configuration()

    async def _ask_wallet(self, wallet: ExternalKey, digest: bytes, request: WalletRequest) -> bytes:
        """``r ‖ s`` of the device over `request`, once this process has seen that the request has that digest."""
        if isinstance(request, PersonalMessage):
            commands = message_commands(self._device.path, request.message)
        elif isinstance(request, EvmTransaction):
            payload = unsigned_payload(eip1559(request)[0])
            if keccak256(payload) != digest:
                raise CustodyProtocolError("The transaction's two encodings disagree; nothing was asked.")
            commands = transaction_commands(self._device.path, payload)
        else:
            typed = typed_data_of(request)
            if typed.digest() != digest:
                raise CustodyProtocolError("The payment's two encodings disagree; nothing was asked.")
            return await self._ask_typed(typed)
        return parse_signature(await self._device.ask(commands))

    async def _ask_typed(self, typed: TypedData) -> bytes:
        hashed = [hashed_typed_data_command(self._device.path, typed)]
        if self._form != "hashed":
            try:
                full = typed_data_commands(self._device.path, typed)
                return parse_signature(await self._device.ask(full, known=False))
            except WrongAppError as error:
                unknown = error.details.get("status_word") == "6d00"
                if self._form == "full" or not unknown:
                    raise
        return parse_signature(await self._device.ask(hashed))


def unsigned_payload(transaction: Eip1559Transaction) -> bytes:
    """Type byte and RLP of the unsigned fields of a transaction without access list: what a device is shown."""
    number = rlp.encode_integer
    return TYPE_BYTE + rlp.encode(
        [
            number(transaction.chain_id),
            number(transaction.nonce),
            number(transaction.max_priority_fee_per_gas_wei),
            number(transaction.max_fee_per_gas_wei),
            number(transaction.gas_limit),
            transaction.to or b"",
            number(transaction.value_wei),
            transaction.data,
            [],
        ]
    )
