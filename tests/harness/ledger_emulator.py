"""A Ledger with the Ethereum app, as far as its APDUs go: a TCP server, and the same device as a HID object.

It is no replay. It parses what it is sent as the app does (anima.md §13.5, recorded facts of custody-testbeds.md §6.3):
paths, chunks, RLP, the streamed EIP-712 definitions and values; it rebuilds the document, hashes it with **eth-account**, which shares no
code with `life.crypto`, and signs with the key that BIP-44 derives from the public development mnemonic. The app signs
with RFC 6979 nonces and low s, as eth-account does, so its answers are byte for byte those recorded from the app 1.22.

What a person would see is kept in `shown`; what they do is `decision`. It is faithful to the protocol only: no screen, no
secure element, no filters signed by Ledger.
"""

from __future__ import annotations

import re
import socketserver
import threading
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self

import rlp  # type: ignore[import-untyped]
from eth_account import Account
from eth_account.messages import SignableMessage, _hash_eip191_message, encode_defunct, encode_typed_data
from eth_keys.datatypes import PrivateKey
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

MNEMONIC: Final = "test test test test test test test test test test test junk"
OTHER_MNEMONIC: Final = "legal winner thank year wave sausage worth useful legal winner thank yellow"
Decision = Literal["approve", "reject", "ignore", "disconnect"]
_KINDS: Final = {1: "int", 2: "uint", 3: "address", 4: "bool", 5: "string", 6: "bytes", 7: "bytes"}


class StatusError(Exception):
    """The device answers with this status word and no data."""

    def __init__(self, status: int) -> None:
        super().__init__(f"{status:04x}")
        self.status = status


class CableError(Exception):
    """The device is pulled out."""


@dataclass
class Member:
    """One member of a struct, as it was defined."""

    name: str
    type: str


@dataclass
class TypedStream:
    """Typed data as it comes in, chunk by chunk."""

    types: dict[str, list[Member]] = field(default_factory=dict)
    open_struct: str = ""
    roots: dict[str, list[object]] = field(default_factory=dict)
    """By root struct: array lengths (int in a tuple) and raw values, in the order in which they came."""
    open_root: str = ""
    partial: bytes = b""


@dataclass
class LedgerEmulator:
    """The device. Use it as a context manager to have it listen on loopback; `host` and `port` say where."""

    mnemonic: str = MNEMONIC
    locked: bool = False
    app: str = "Ethereum"
    knows_full_typed_data: bool = True
    blind_signing: bool = True
    decision: Decision = "approve"
    forged_status: int | None = None
    forged_answer: bytes | None = None
    delay_s: float = 0.0
    shown: list[Any] = field(default_factory=list)
    commands: list[bytes] = field(default_factory=list)
    signatures: int = 0

    def __post_init__(self) -> None:
        Account.enable_unaudited_hdwallet_features()
        self.host, self.port = "127.0.0.1", 0
        self.released = threading.Event()
        self.asked = threading.Event()
        self._path = ""
        self._chunks: tuple[int, bytes] | None = None
        self._typed = TypedStream()
        self._turn = threading.Lock()
        self._keys: dict[tuple[str, str], Any] = {}

    def __enter__(self) -> Self:
        device = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                device._serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            block_on_close = False

        self._server = Server((self.host, 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, connection: Any) -> None:
        try:
            while (head := _exactly(connection, 4)) is not None:
                apdu = _exactly(connection, int.from_bytes(head, "big"))
                if apdu is None:
                    return
                answer = self.process(apdu)
                connection.sendall((len(answer) - 2).to_bytes(4, "big") + answer)
        except (CableError, OSError):
            return

    def process(self, apdu: bytes) -> bytes:
        """Data and status word of one command. CableError when the device is pulled out instead."""
        with self._turn:
            self.commands.append(apdu)
            try:
                if self.forged_status is not None:
                    raise StatusError(self.forged_status)
                return self._execute(apdu) + b"\x90\x00"
            except StatusError as refused:
                self._chunks, self._typed = None, TypedStream()
                return refused.status.to_bytes(2, "big")

    def _execute(self, apdu: bytes) -> bytes:
        if self.locked:
            raise StatusError(0x5515)
        if self.app != "Ethereum" or apdu[0] != 0xE0:
            raise StatusError(0x6E00)
        if len(apdu) < 5 or len(apdu) != 5 + apdu[4]:
            raise StatusError(0x6700)
        instruction, p1, p2, data = apdu[1], apdu[2], apdu[3], apdu[5:]
        match instruction:
            case 0x02:
                return self._address(p1, p2, data)
            case 0x04 | 0x08:
                return self._chunked(instruction, p1, p2, data)
            case 0x06:
                return bytes((0x02 | (0x01 if self.blind_signing else 0), 1, 22, 0))
            case 0x0C:
                return self._sign_typed(p1, p2, data)
            case 0x1A | 0x1C if not self.knows_full_typed_data:
                raise StatusError(0x6D00)
            case 0x1A:
                return self._define(p1, p2, data)
            case 0x1C:
                return self._value(p1, p2, data)
        raise StatusError(0x6D00)

    def key(self, path: str) -> Any:
        """The private key at a path."""
        if (self.mnemonic, path) not in self._keys:
            account = Account.from_mnemonic(self.mnemonic, account_path=path)
            self._keys[self.mnemonic, path] = PrivateKey(bytes(account.key))
        return self._keys[self.mnemonic, path]

    def _address(self, p1: int, p2: int, data: bytes) -> bytes:
        if p1 not in (0, 1) or p2 not in (0, 1):
            raise StatusError(0x6B00)
        path, rest = _read_path(data)
        if rest and len(rest) != 8:
            raise StatusError(0x6A80)
        public = self.key(path).public_key
        address = to_checksum_address(public.to_address())
        if p1 == 1:
            self._ask(("address", address))
        return b"\x41\x04" + bytes(public.to_bytes()) + b"\x28" + address[2:].encode()

    def _chunked(self, instruction: int, p1: int, p2: int, data: bytes) -> bytes:
        if p2 != 0 or p1 not in (0x00, 0x80):
            raise StatusError(0x6B00)
        if p1 == 0x00:
            self._path, first = _read_path(data)
            self._chunks = (instruction, first)
        elif self._chunks is None or self._chunks[0] != instruction:
            raise StatusError(0x6985 if self._chunks is None else 0x6A80)
        else:
            self._chunks = (instruction, self._chunks[1] + data)
        content = self._chunks[1]
        done = self._message(content) if instruction == 0x08 else self._transaction(content)
        if done is not None:
            self._chunks = None
        return done or b""

    def _message(self, content: bytes) -> bytes | None:
        if len(content) < 4:
            raise StatusError(0x6A80)
        length, text = int.from_bytes(content[:4], "big"), content[4:]
        if len(text) > length:
            raise StatusError(0x6A80)
        if len(text) < length:
            return None
        self._ask(("message", text))
        return self._sign(_hash_eip191_message(encode_defunct(text)), v_offset=27)

    def _transaction(self, content: bytes) -> bytes | None:
        if content[:1] != b"\x02":
            raise StatusError(0x6A80)
        length = _rlp_length(content[1:])
        if length is None or len(content) - 1 < length:
            return None
        if len(content) - 1 > length:
            raise StatusError(0x6A80)
        try:
            fields = rlp.decode(content[1:])
        except rlp.DecodingError:
            raise StatusError(0x6A80) from None
        if len(fields) != 9:
            raise StatusError(0x6A80)
        names = ("chain_id", "nonce", "priority_fee", "max_fee", "gas_limit", "to", "value", "data", "access_list")
        seen = dict(zip(names, fields, strict=True))
        if seen["data"] and not self.blind_signing:
            raise StatusError(0x6A80)
        number = {name: int.from_bytes(seen[name], "big") for name in ("chain_id", "nonce", "value", "gas_limit")}
        self._ask(("transaction", {**number, "to": to_checksum_address(seen["to"]), "data": seen["data"]}))
        return self._sign(keccak(content), v_offset=0)

    def _define(self, p1: int, p2: int, data: bytes) -> bytes:
        if p1 != 0 or p2 not in (0x00, 0xFF):
            raise StatusError(0x6B00)
        if p2 == 0x00:
            self._typed.open_struct = data.decode()
            self._typed.types[self._typed.open_struct] = []
        elif self._typed.open_struct not in self._typed.types:
            raise StatusError(0x6985)
        else:
            self._typed.types[self._typed.open_struct].append(_read_member(data))
        return b""

    def _value(self, p1: int, p2: int, data: bytes) -> bytes:
        typed = self._typed
        if p1 not in (0, 1) or p2 not in (0x00, 0x0F, 0xFF) or (p1 == 1 and p2 != 0xFF):
            raise StatusError(0x6B00)
        if p2 == 0x00:
            typed.open_root = data.decode()
            if typed.open_root not in typed.types:
                raise StatusError(0x6A80)
            typed.roots[typed.open_root] = []
            return b""
        if typed.open_root not in typed.roots:
            raise StatusError(0x6985)
        if p2 == 0x0F:
            typed.roots[typed.open_root].append((data[0],))
            return b""
        typed.partial += data
        if p1 == 0:
            raw, typed.partial = typed.partial, b""
            if len(raw) < 2 or len(raw) - 2 != int.from_bytes(raw[:2], "big"):
                raise StatusError(0x6A80)
            typed.roots[typed.open_root].append(raw[2:])
        return b""

    def _sign_typed(self, p1: int, p2: int, data: bytes) -> bytes:
        if p1 != 0 or p2 not in (0, 1):
            raise StatusError(0x6B00)
        self._path, rest = _read_path(data)
        if not self.blind_signing:
            raise StatusError(0x6A80)
        if p2 == 0:
            if len(rest) != 64:
                raise StatusError(0x6A80)
            self._ask(("hashes", rest[:32], rest[32:]))
            return self._sign(keccak(b"\x19\x01" + rest), v_offset=27)
        if rest or len(self._typed.roots) != 2 or self._typed.partial:
            raise StatusError(0x6A80)
        document = self._document()
        self._typed = TypedStream()
        message: SignableMessage = encode_typed_data(full_message=document)
        self._ask(("typed", document))
        return self._sign(_hash_eip191_message(message), v_offset=27)

    def _document(self) -> dict[str, Any]:
        """The document that the stream described; every value used exactly once."""
        values: dict[str, Any] = {}
        for root, stream in self._typed.roots.items():
            waiting = list(stream)
            values[root] = self._struct(root, waiting)
            if waiting:
                raise StatusError(0x6A80)
        domain = values.pop("EIP712Domain", None)
        if domain is None or len(values) != 1:
            raise StatusError(0x6A80)
        primary, message = values.popitem()
        types = {
            name: [{"name": member.name, "type": member.type} for member in members]
            for name, members in self._typed.types.items()
        }
        return {"types": types, "primaryType": primary, "domain": domain, "message": message}

    def _struct(self, name: str, waiting: list[object]) -> dict[str, Any]:
        return {member.name: self._read(member.type, waiting) for member in self._typed.types[name]}

    def _read(self, type_: str, waiting: list[object]) -> Any:
        if type_ in self._typed.types:
            return self._struct(type_, waiting)
        if not waiting:
            raise StatusError(0x6A80)
        if type_.endswith("]"):
            count = waiting.pop(0)
            inner, _, size = type_.rpartition("[")
            if not isinstance(count, tuple) or (size != "]" and int(size[:-1]) != count[0]):
                raise StatusError(0x6A80)
            return [self._read(inner, waiting) for _ in range(count[0])]
        raw = waiting.pop(0)
        if not isinstance(raw, bytes):
            raise StatusError(0x6A80)
        return _plain(type_, raw)

    def _ask(self, what: Any) -> None:
        """Show it, and do what the person does."""
        self.shown.append(what)
        self.asked.set()
        if self.delay_s:
            self.released.wait(self.delay_s)
        if self.decision == "disconnect":
            raise CableError
        if self.decision == "ignore":
            self.released.wait(30)
            raise CableError
        if self.decision == "reject":
            raise StatusError(0x6985)

    def _sign(self, digest: bytes, *, v_offset: int) -> bytes:
        self.signatures += 1
        if self.forged_answer is not None:
            return self.forged_answer
        signature = self.key(self._path).sign_msg_hash(digest).to_bytes()
        return bytes((signature[64] + v_offset,)) + bytes(signature[:64])


class HidEmulator:
    """The same device on USB: 64-byte reports (anima.md §13.5). `unplugged` makes every call fail as hidapi does."""

    def __init__(self, device: LedgerEmulator) -> None:
        self._device = device
        self._incoming = b""
        self.reports: list[bytes] = []
        self.unplugged = False
        self.closed = False

    def write(self, data: bytes) -> int:
        """One report: its number 00, channel 0101, tag 05, sequence, content."""
        if self.unplugged:
            return -1
        assert len(data) == 65 and data[0] == 0 and data[1:4] == b"\x01\x01\x05", data.hex()
        sequence, content = int.from_bytes(data[4:6], "big"), data[6:]
        self._incoming = content if sequence == 0 else self._incoming + content
        length = int.from_bytes(self._incoming[:2], "big")
        if len(self._incoming) >= 2 + length:
            try:
                answer = self._device.process(self._incoming[2 : 2 + length])
            except CableError:
                self.unplugged = True
                return len(data)
            self.reports += _reports(answer)
        return len(data)

    def read(self, max_length: int, timeout_ms: int = 0) -> list[int]:
        """The next report."""
        if self.unplugged:
            raise OSError("read error")
        return list(self.reports.pop(0)[:max_length]) if self.reports else []

    def close(self) -> None:
        """Let go."""
        self.closed = True


def _reports(answer: bytes) -> list[bytes]:
    rest = len(answer).to_bytes(2, "big") + answer
    reports: list[bytes] = []
    while rest:
        reports.append((b"\x01\x01\x05" + len(reports).to_bytes(2, "big") + rest[:59]).ljust(64, b"\x00"))
        rest = rest[59:]
    return reports


def _read_path(data: bytes) -> tuple[str, bytes]:
    if not data or not 0 < data[0] <= 10 or len(data) < 1 + 4 * data[0]:
        raise StatusError(0x6A80)
    steps = [int.from_bytes(data[1 + 4 * at : 5 + 4 * at], "big") for at in range(data[0])]
    text = "/".join(f"{step & 0x7FFFFFFF}'" if step >> 31 else str(step) for step in steps)
    return "m/" + text, data[1 + 4 * data[0] :]


def _read_member(data: bytes) -> Member:
    first, rest = data[0], data[1:]
    kind = first & 0x0F
    if kind == 0:
        name, rest = rest[1 : 1 + rest[0]].decode(), rest[1 + rest[0] :]
    elif kind in _KINDS:
        name = _KINDS[kind]
    else:
        raise StatusError(0x6A80)
    if bool(first & 0x40) != (kind in (1, 2, 6)):
        raise StatusError(0x6A80)
    if first & 0x40:
        name, rest = name + str(rest[0] if kind == 6 else rest[0] * 8), rest[1:]
    if first & 0x80:
        count, rest = rest[0], rest[1:]
        for _ in range(count):
            if rest[0] == 0:
                name, rest = name + "[]", rest[1:]
            else:
                name, rest = f"{name}[{rest[1]}]", rest[2:]
    if len(rest) != 1 + rest[0]:
        raise StatusError(0x6A80)
    return Member(rest[1:].decode(), name)


def _plain(type_: str, raw: bytes) -> Any:
    """A value as a JSON document has it; the app refuses lengths that do not fit the type."""
    sized = re.fullmatch(r"(u?int|bytes)(\d+)", type_)
    if sized and sized[1] == "bytes":
        if len(raw) != int(sized[2]):
            raise StatusError(0x6A80)
        return raw
    if sized:
        if len(raw) > int(sized[2]) // 8:
            raise StatusError(0x6A80)
        full = len(raw) == int(sized[2]) // 8
        return int.from_bytes(raw, "big", signed=sized[1] == "int" and full)
    match type_:
        case "address" if len(raw) == 20:
            return to_checksum_address(raw)
        case "bool" if len(raw) == 1:
            return bool(raw[0])
        case "string":
            return raw.decode()
        case "bytes":
            return raw
    raise StatusError(0x6A80)


def _rlp_length(content: bytes) -> int | None:
    """The whole length of the RLP list that begins here, None while its head is not complete."""
    if not content:
        return None
    first = content[0]
    if first < 0xC0:
        raise StatusError(0x6A80)
    if first <= 0xF7:
        return 1 + first - 0xC0
    size = first - 0xF7
    return None if len(content) < 1 + size else 1 + size + int.from_bytes(content[1 : 1 + size], "big")


def _exactly(connection: Any, count: int) -> bytes | None:
    content = b""
    while len(content) < count:
        part = connection.recv(count - len(content))
        if not part:
            return None
        content += part
    return content
