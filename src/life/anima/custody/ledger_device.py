"""One Ledger with the Ethereum app: a request at a time, and what its status words mean (AN-HW-3, AN-HW-4).

Whenever the transport is opened anew, the device is asked for its address before anything is shown to a person, so that
nobody confirms on the wrong device. A caller that gives up leaves nothing half-said: the request goes on to its
answer, or its deadline, before the next one starts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from life.aios.errors import CustodyError
from life.anima.custody.errors import BlindSigningOffError, WrongAppError, WrongDeviceError
from life.anima.custody.ledger_apdu import (
    STATUS_OK,
    Answer,
    Command,
    Configuration,
    WalletKey,
    address_command,
    configuration_command,
    encode_path,
    parse_address_answer,
    parse_configuration,
)
from life.anima.custody.ledger_transport import LedgerTransport
from life.anima.errors import (
    CustodyInputError,
    CustodyLockedError,
    CustodyProtocolError,
    StaleHandleError,
    UserRejectedError,
)
from life.crypto import secp256k1
from life.crypto.address import format_address
from life.crypto.errors import CryptoError

ANSWER_S: Final = 10.0
"""How long a question may take that needs no person."""

_REFUSED: Final = frozenset({0x6985, 0x5501})
_LOCKED: Final = frozenset({0x5515, 0x6804, 0x6982, 0x6B0C})
"""Firmware of different years (Ledger's `StatusCodes`); seen on no device here, see docs/custody/hardware-wallet.md."""
_NO_APP: Final = frozenset({0x6E00, 0x6E01, 0x6D02, 0x6511, 0x6A15})
_UNKNOWN_INSTRUCTION: Final = frozenset({0x6D00})
_BAD_DATA: Final = frozenset({0x6A80})
_OPEN_APP: Final = "Unlock the device and open the Ethereum app on it."


class LedgerDevice:
    """A device behind a transport, and the wallet that is expected on it."""

    def __init__(self, transport: LedgerTransport, *, path: str, confirm_s: float) -> None:
        """`path` is the derivation path; `confirm_s` how long a person may take to confirm."""
        self._transport = transport
        self.path = encode_path(path)
        self._confirm_s = confirm_s
        self._turn = asyncio.Lock()
        self._expected: bytes | None = None
        self._closed = False

    async def wallet_key(self) -> WalletKey:
        """The wallet's public key, whose address is computed here and compared with the app's; from now on the device is
        expected to have it."""
        async with self._turn:
            key = await self._read_key()
            self._expected = key.public_key
            return key

    async def configuration(self) -> Configuration:
        """Settings and version of the app."""
        async with self._turn:
            await self._ready()
            return await self._configuration()

    async def ask(self, commands: Sequence[Command], *, known: bool = True) -> bytes:
        """Send `commands` one after the other; the data of the last answer. A person confirms the last one.

        `known` says that every release of the app has the first instruction. CustodyError as the status word says.
        """
        return await asyncio.shield(asyncio.ensure_future(self._ask(commands, known)))

    async def close(self) -> None:
        """Let the device go once it has answered. May be called again."""
        self._closed = True
        async with self._turn:
            await self._transport.close()

    async def _ask(self, commands: Sequence[Command], known: bool) -> bytes:
        async with self._turn:
            await self._ready()
            data = b""
            for command in commands:
                answer = await self._exchange(command, self._confirm_s)
                if answer.status != STATUS_OK:
                    raise await self._explain(answer.status, command, known)
                data = answer.data
            return data

    async def _ready(self) -> None:
        """Open the transport, and see that the expected wallet is there."""
        if self._closed:
            raise StaleHandleError("This custody handle is closed.", next_step="Open the identity again.")
        if self._transport.is_open:
            return
        expected = self._expected
        key = await self._read_key()
        if expected is not None and key.public_key != expected:
            await self._transport.close()
            own, other = (format_address(secp256k1.address_of(point)) for point in (expected, key.public_key))
            raise WrongDeviceError(
                f"{self._transport.name} holds the wallet {other}, not {own}.",
                next_step="Use the device, the passphrase and the path that the wallet was configured with.",
                details={"expected": own, "found": other},
            )

    async def _read_key(self) -> WalletKey:
        await self._transport.open()
        try:
            answer = await self._exchange(address_command(self.path), ANSWER_S)
            if answer.status != STATUS_OK:
                raise await self._explain(answer.status, address_command(self.path), True)
            key = parse_address_answer(answer.data)
            try:
                own = format_address(secp256k1.address_of(secp256k1.decompress(key.public_key)))
            except CryptoError:
                raise CustodyProtocolError("The device's public key is not a point of the curve.") from None
            if own != key.address:
                raise CustodyProtocolError("The device's address is not that of its public key.")
            return key
        except CustodyError:
            await self._transport.close()  # so that the next request looks again
            raise

    async def _configuration(self) -> Configuration:
        answer = await self._exchange(configuration_command(), ANSWER_S)
        if answer.status != STATUS_OK:
            raise await self._explain(answer.status, configuration_command(), True)
        return parse_configuration(answer.data)

    async def _exchange(self, command: Command, timeout_s: float) -> Answer:
        return Answer.parse(await self._transport.exchange(command.encode(), timeout_s=timeout_s))

    async def _explain(self, status: int, command: Command, known: bool) -> CustodyError:
        """What a status word means for a person. It is always in the details, for those that nobody has listed."""
        word, name = {"status_word": f"{status:04x}"}, self._transport.name
        if status in _REFUSED:
            return UserRejectedError(f"The person at {name} said no; nothing was signed.", details=word)
        if status in _LOCKED:
            return CustodyLockedError(f"{name} is locked.", next_step=_OPEN_APP, details=word)
        if status in _NO_APP:
            return WrongAppError(f"The Ethereum app is not open on {name}.", next_step=_OPEN_APP, details=word)
        if status in _UNKNOWN_INSTRUCTION:
            next_step = _OPEN_APP if known else "Update the Ethereum app, or allow typed data by its hashes."
            return WrongAppError(
                f"The app that is open on {name} does not know this request.", next_step=next_step, details=word
            )
        if status in _BAD_DATA and command.instruction != 0x06:
            if not (await self._configuration()).blind_signing:
                return BlindSigningOffError(
                    f"{name} does not sign this while blind signing is off.",
                    next_step="Switch on blind signing in the settings of the Ethereum app on the device.",
                    details=word,
                )
            return CustodyInputError(f"{name} refuses the request as malformed.", details=word)
        return CustodyProtocolError(f"{name} answered with the status {status:04x}.", details=word)
