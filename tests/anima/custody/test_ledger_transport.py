"""How APDUs reach a Ledger: frames that come back whole, and everything that a peer can do wrong."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import CustodyError, MissingExtraError
from life.anima.custody.errors import TokenRemovedError
from life.anima.custody.ledger_transport import (
    FrameReader,
    HidTransport,
    TcpTransport,
    frames_of,
    usb_ledger,
)
from life.anima.errors import (
    AmbiguousKeyError,
    CustodyProtocolError,
    CustodyTimeoutError,
    CustodyUnavailableError,
)
from tests.harness.ledger_emulator import HidEmulator, LedgerEmulator

CONFIGURATION = bytes.fromhex("e006000000")


@given(st.binary(min_size=1, max_size=2000))
def test_frames_come_back_whole(apdu: bytes) -> None:
    """64-byte reports, the first with 57 bytes and the others with 59; joined they are the APDU."""
    frames = frames_of(apdu)
    assert all(len(frame) == 64 and frame[:3] == b"\x01\x01\x05" for frame in frames)
    assert len(frames) == 1 + max(0, -(-(len(apdu) - 57) // 59))
    reader = FrameReader()
    assert [reader.add(frame) for frame in frames] == [None] * (len(frames) - 1) + [apdu]


@pytest.mark.parametrize(
    "report",
    [
        b"",
        bytes(64),
        b"\x01\x01\x02" + bytes(61),
        b"\x01\x01\x05\x00\x01" + bytes(59),
        b"\x01\x01\x05\x00\x00" + bytes(60),
    ],
)
def test_reports_that_do_not_belong(report: bytes) -> None:
    """Another channel, tag, sequence number or length is refused."""
    with pytest.raises(CustodyProtocolError):
        FrameReader().add(report)


Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def with_peer(peer: Peer, error: type[CustodyError]) -> None:
    """One exchange with `peer` ends in `error`, and closes the transport."""
    server = await asyncio.start_server(peer, "127.0.0.1", 0)
    transport = TcpTransport("127.0.0.1", server.sockets[0].getsockname()[1])
    try:
        await transport.open()
        with pytest.raises(error):
            await transport.exchange(CONFIGURATION, timeout_s=0.2)
        assert not transport.is_open
        with pytest.raises(CustodyUnavailableError):
            await transport.exchange(CONFIGURATION, timeout_s=0.2)
    finally:
        await transport.close()
        server.close()
        await server.wait_closed()


def answering(content: bytes, *, hang_up: bool = True) -> Peer:
    """A peer that reads, and says `content`."""

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(9)
        writer.write(content)
        await writer.drain()
        if not hang_up:
            await reader.read()  # until the other side goes
        writer.close()

    return peer


async def test_peers_that_do_wrong() -> None:
    """Hanging up, half an answer, an answer without end, silence: each an error of its own kind."""
    await with_peer(answering(b""), TokenRemovedError)
    await with_peer(answering(b"\x00\x00\x00\x04\x01"), TokenRemovedError)
    await with_peer(answering(b"\xff\xff\xff\xff"), CustodyProtocolError)
    await with_peer(answering(b"", hang_up=False), CustodyTimeoutError)
    await with_peer(answering(b"\x00\x00\x00\x04\x01", hang_up=False), CustodyTimeoutError)


async def test_a_peer_that_hung_up_meanwhile() -> None:
    """A connection that the other side ended while nothing was asked is opened anew."""
    with LedgerEmulator() as device:
        transport = TcpTransport(device.host, device.port)
        await transport.open()
        assert transport.is_open
        assert await transport.exchange(CONFIGURATION, timeout_s=2)
        await transport.close()
        await transport.close()
        await transport.open()
        assert (await transport.exchange(CONFIGURATION, timeout_s=2))[-2:] == b"\x90\x00"
        await transport.close()


class SilentHid(HidEmulator):
    """Takes everything and answers nothing."""

    def write(self, data: bytes) -> int:
        """Taken."""
        return len(data)


async def test_usb_that_does_wrong() -> None:
    """Silence, a device that goes, foreign reports: each closes the device. What is left over from before is thrown away."""
    device = LedgerEmulator()
    silent = SilentHid(device)
    transport = HidTransport(lambda: silent)
    await transport.open()
    with pytest.raises(CustodyTimeoutError):
        await transport.exchange(CONFIGURATION, timeout_s=0.1)
    assert silent.closed
    usb = HidEmulator(device)
    usb.reports = [b"\x01\x01\x05\x00\x00\x00\x02\x69\x85".ljust(64, b"\x00")]
    transport = HidTransport(lambda: usb)
    await transport.open()
    assert (await transport.exchange(CONFIGURATION, timeout_s=1))[-2:] == b"\x90\x00"
    usb.reports = [bytes(64)]
    with pytest.raises(CustodyProtocolError):
        await transport.exchange(CONFIGURATION, timeout_s=1)
    assert usb.closed
    await transport.open()
    usb.unplugged = True
    with pytest.raises(TokenRemovedError):
        await transport.exchange(CONFIGURATION, timeout_s=1)
    with pytest.raises(CustodyUnavailableError):
        await transport.open()


class FakeHidapi:
    """The module hidapi with devices that are listed here; there is no USB where the tests run."""

    def __init__(self, *entries: dict[str, object]) -> None:
        self.entries = entries
        self.opened: list[object] = []

    def enumerate(self, vendor_id: int, product_id: int) -> list[dict[str, object]]:
        """What is plugged in."""
        assert (vendor_id, product_id) == (0x2C97, 0)
        return list(self.entries)

    def device(self) -> FakeHidapi:
        """Not open yet."""
        return self

    def open_path(self, path: object) -> None:
        """Opened."""
        self.opened.append(path)

    def read(self, max_length: int, timeout_ms: int = 0) -> list[int]:
        """Nothing there."""
        return []

    def close(self) -> None:
        """Closed."""


async def test_which_usb_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """One Ledger is taken, several need a serial number, none is unavailable; other interfaces of a device don't count."""

    def entry(path: bytes, serial: str, *, usage_page: int = 0xFFA0, interface: int = 0) -> dict[str, object]:
        return {"path": path, "serial_number": serial, "usage_page": usage_page, "interface_number": interface}

    one, two, u2f = entry(b"1", "a"), entry(b"2", "b"), entry(b"3", "a", usage_page=0xF1D0, interface=1)
    module = FakeHidapi(one, u2f)
    monkeypatch.setitem(sys.modules, "hid", module)
    await usb_ledger().open()
    assert module.opened == [b"1"]
    module.entries = (one, two)
    with pytest.raises(AmbiguousKeyError):
        await usb_ledger().open()
    await usb_ledger("b").open()
    assert module.opened[-1] == b"2"
    module.entries = ()
    with pytest.raises(CustodyUnavailableError) as refusal:
        await usb_ledger().open()
    assert "plugged in" in refusal.value.message


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence names the extra `ledger`."""
    monkeypatch.setitem(sys.modules, "hid", None)
    with pytest.raises(MissingExtraError, match="ledger"):
        usb_ledger()
