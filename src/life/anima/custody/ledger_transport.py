"""How APDUs reach a Ledger: over USB (HID), or over TCP as device emulators and proxies speak it (AN-HW-5).

TCP: the request is a 4-byte length and the APDU; the answer is the 4-byte length of its data, the data, and two bytes of
status word, which the length does not count.

HID: 64-byte reports. Each begins with the channel (0101), the tag 05 and a sequence number from 0; the first one then
has the 2-byte length of the whole APDU and 57 bytes of it, each further one 59 bytes. When it is written, a report is preceded
by the report number 00.

A transport that missed a deadline or lost its device is closed; the next exchange opens it anew, so no answer is ever
taken for that of another request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from life.aios.errors import MissingExtraError
from life.anima.custody.errors import TokenRemovedError
from life.anima.errors import (
    AmbiguousKeyError,
    CustodyProtocolError,
    CustodyTimeoutError,
    CustodyUnavailableError,
)

LEDGER_VENDOR_ID: Final = 0x2C97
MAX_ANSWER_BYTES: Final = 64 * 1024
_CONNECT_S: Final = 5.0
_CHANNEL: Final = b"\x01\x01"
_TAG: Final = 0x05
_REPORT_BYTES: Final = 64
_READ_SLICE_MS: Final = 100
_USAGE_PAGE: Final = 0xFFA0


class LedgerTransport(Protocol):
    """A way to one device. One exchange at a time."""

    @property
    def name(self) -> str:
        """What it leads to, for people."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether the next exchange goes to the device that the last one went to."""
        ...

    async def open(self) -> None:
        """Reach the device; nothing when it is open. CustodyUnavailableError when there is none."""
        ...

    async def exchange(self, apdu: bytes, *, timeout_s: float) -> bytes:
        """Send one APDU and wait for the answer with its status word.

        CustodyTimeoutError after `timeout_s`, TokenRemovedError when the device goes away meanwhile, CustodyProtocolError
        when the answer is no answer; each closes the transport.
        """
        ...

    async def close(self) -> None:
        """Let the device go. May be called again."""
        ...


class TcpTransport:
    """A device emulator, or a proxy before a device, at a TCP address."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self.name = f"the Ledger at {host}:{port}"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection that the other side has not ended."""
        return self._streams is not None and not self._streams[0].at_eof()

    async def open(self) -> None:
        """Connect."""
        if self.is_open:
            return
        await self.close()
        try:
            async with asyncio.timeout(_CONNECT_S):
                self._streams = await asyncio.open_connection(self._host, self._port)
        except (OSError, TimeoutError):
            raise CustodyUnavailableError(
                f"Nobody answers as {self.name}.", next_step="Start the emulator or proxy, and check host and port."
            ) from None

    async def exchange(self, apdu: bytes, *, timeout_s: float) -> bytes:
        """One request and its answer."""
        if self._streams is None:
            raise CustodyUnavailableError(f"There is no connection to {self.name}.")
        reader, writer = self._streams
        try:
            async with asyncio.timeout(timeout_s):
                writer.write(len(apdu).to_bytes(4, "big") + apdu)
                await writer.drain()
                length_bytes = int.from_bytes(await reader.readexactly(4), "big") + 2
                if length_bytes > MAX_ANSWER_BYTES:
                    raise CustodyProtocolError(f"The answer of {self.name} is far too long.")
                return await reader.readexactly(length_bytes)
        except TimeoutError:
            await self.close()
            raise _late(self.name) from None
        except (OSError, asyncio.IncompleteReadError):
            await self.close()
            raise _gone(self.name) from None
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Disconnect."""
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].close()
            try:
                await streams[1].wait_closed()
            except OSError:
                pass


class HidDevice(Protocol):
    """An open HID device, as the package hidapi gives it."""

    def write(self, data: bytes) -> int:
        """Send a report, with its number in front; how many bytes went, below 0 when none could."""
        ...

    def read(self, max_length: int, timeout_ms: int = 0) -> list[int]:
        """The next report, empty when none came in `timeout_ms`. OSError when the device is gone."""
        ...

    def close(self) -> None:
        """Let the device go."""
        ...


class HidTransport:
    """A Ledger on USB. Reading blocks, so it happens in a thread."""

    def __init__(self, open_device: Callable[[], HidDevice], *, name: str = "the Ledger on USB") -> None:
        """`open_device` gives the device, or an OSError or CustodyError; it is called in a thread."""
        self._open_device = open_device
        self.name = name
        self._device: HidDevice | None = None

    @property
    def is_open(self) -> bool:
        """Whether the device is open."""
        return self._device is not None

    async def open(self) -> None:
        """Open the device, and throw away reports that nobody waits for any more."""
        if self._device is not None:
            return
        try:
            self._device = await asyncio.to_thread(_opened, self._open_device)
        except OSError:
            raise CustodyUnavailableError(
                f"{_sentence(self.name)} can't be opened.",
                next_step="Plug it in; on Linux, Ledger's udev rules let a user open it.",
            ) from None

    async def exchange(self, apdu: bytes, *, timeout_s: float) -> bytes:
        """One request and its answer."""
        if self._device is None:
            raise CustodyUnavailableError(f"{_sentence(self.name)} is not open.")
        try:
            return await asyncio.to_thread(_exchange, self._device, apdu, int(timeout_s * 1000))
        except TimeoutError:
            await self.close()
            raise _late(self.name) from None
        except (OSError, ValueError):
            await self.close()
            raise _gone(self.name) from None
        except CustodyProtocolError:
            await self.close()
            raise

    async def close(self) -> None:
        """Let the device go."""
        device, self._device = self._device, None
        if device is not None:
            await asyncio.to_thread(device.close)


def usb_ledger(serial_number: str | None = None) -> HidTransport:
    """The Ledger on USB; `serial_number` says which, when there are several. MissingExtraError without hidapi."""
    try:
        import hid  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        raise MissingExtraError("A Ledger on USB", "ledger") from None

    def open_device() -> HidDevice:
        found = [
            entry
            for entry in hid.enumerate(LEDGER_VENDOR_ID, 0)
            if (entry["usage_page"] == _USAGE_PAGE or entry["interface_number"] == 0)
            and serial_number in (None, entry["serial_number"])
        ]
        if not found:
            raise CustodyUnavailableError(
                "No Ledger is plugged in.", next_step="Plug the device in, unlock it and open the Ethereum app."
            )
        if len({entry["path"] for entry in found}) > 1:
            raise AmbiguousKeyError("Several Ledgers are plugged in; name the serial number of one.")
        device = hid.device()
        device.open_path(found[0]["path"])
        opened: HidDevice = device
        return opened

    return HidTransport(open_device)


def frames_of(apdu: bytes) -> list[bytes]:
    """The 64-byte reports of an APDU, without report number."""
    rest = len(apdu).to_bytes(2, "big") + apdu
    frames: list[bytes] = []
    while rest:
        head = _CHANNEL + bytes((_TAG,)) + len(frames).to_bytes(2, "big")
        size = _REPORT_BYTES - len(head)
        frames.append((head + rest[:size]).ljust(_REPORT_BYTES, b"\x00"))
        rest = rest[size:]
    return frames


class FrameReader:
    """Joins reports to an APDU."""

    def __init__(self) -> None:
        self._content = b""
        self._next = 0

    def add(self, report: bytes) -> bytes | None:
        """The whole APDU, once `report` was its last. CustodyProtocolError for a report that does not belong here."""
        if len(report) != _REPORT_BYTES or report[:2] != _CHANNEL or report[2] != _TAG:
            raise CustodyProtocolError("The device sent a report of another protocol.")
        if int.from_bytes(report[3:5], "big") != self._next:
            raise CustodyProtocolError("The device's reports are out of order.")
        self._next += 1
        self._content += report[5:]
        length_bytes = int.from_bytes(self._content[:2], "big")
        return self._content[2 : 2 + length_bytes] if len(self._content) >= 2 + length_bytes else None


def _opened(open_device: Callable[[], HidDevice]) -> HidDevice:
    device = open_device()
    try:
        while device.read(_REPORT_BYTES, timeout_ms=1):  # left over from a request that somebody gave up
            pass
    except BaseException:
        device.close()
        raise
    return device


def _exchange(device: HidDevice, apdu: bytes, timeout_ms: int) -> bytes:
    for frame in frames_of(apdu):
        if device.write(b"\x00" + frame) < 0:
            raise OSError("the device takes no report")
    reader, left_ms = FrameReader(), timeout_ms
    while True:
        report = bytes(device.read(_REPORT_BYTES, timeout_ms=min(_READ_SLICE_MS, left_ms)))
        if report:
            whole = reader.add(report)
            if whole is not None:
                return whole
        else:
            left_ms -= _READ_SLICE_MS
            if left_ms <= 0:
                raise TimeoutError


def _late(name: str) -> CustodyTimeoutError:
    return CustodyTimeoutError(
        f"Nobody confirmed on {name} in time.",
        next_step="Look at the device's screen; asking again gives the same signature, not a second one.",
    )


def _gone(name: str) -> TokenRemovedError:
    return TokenRemovedError(
        f"{_sentence(name)} went away in the middle of a request; nothing was released.",
        next_step="Plug it in, unlock it and open the Ethereum app.",
    )


def _sentence(name: str) -> str:
    return name[:1].upper() + name[1:]
