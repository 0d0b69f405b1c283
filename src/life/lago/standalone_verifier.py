"""Check the archive of a session, or an inclusion proof, with Python 3.9 or newer and nothing else.

    python3 verify.py ARCHIVE.zip [--did did:key:...]
    python3 verify.py PROOF.json  [--did did:key:...]

Exit code 0 and a summary when everything holds; 1 and the first thing that does not. --did names a key that you know to be the
agent's; without it you learn who signed, and judge for yourself. No network, no other package, nothing is written.

This file is a second implementation of what docs/proof.md describes; it shares no code with the program that wrote the archive. It
covers keys on P-256 (all that Life makes).
"""

from __future__ import annotations

import base64
import binascii
import calendar
import gzip
import hashlib
import io
import json
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SKEW_S = 60
STUB = b'{"type":"Custom","event_type":"lago.redacted",'


class Refused(Exception):  # noqa: N818 (a verdict, not a fault)
    """Something does not hold."""


def need(condition: object, where: str, reason: str) -> None:
    """Refused, unless the condition holds."""
    if not condition:
        raise Refused(f"{where}: {reason}")


# ---- the digest of an event (MessagePack in its shortest form, SHA-256)


def pack(value: Any) -> bytes:
    """A MessagePack value."""
    if value is None:
        return b"\xc0"
    if isinstance(value, int):
        if -32 <= value < 128:
            return struct.pack("b", value) if value < 0 else bytes([value])
        for low, high, code, form in (
            (0, 2**8, 0xCC, ">B"), (0, 2**16, 0xCD, ">H"), (0, 2**32, 0xCE, ">I"), (0, 2**64, 0xCF, ">Q"),
            (-(2**7), 0, 0xD0, ">b"), (-(2**15), 0, 0xD1, ">h"), (-(2**31), 0, 0xD2, ">i"), (-(2**63), 0, 0xD3, ">q"),
        ):  # fmt: skip
            if low <= value < high:
                return bytes([code]) + struct.pack(form, value)
    if isinstance(value, (list, tuple)):
        return bytes([0x90 | len(value)]) + b"".join(map(pack, value))
    raw = value.encode() if isinstance(value, str) else value
    sizes = [(256, 0xD9, ">B"), (2**16, 0xDA, ">H"), (2**32, 0xDB, ">I")]
    if isinstance(value, str) and len(raw) < 32:
        return bytes([0xA0 | len(raw)]) + raw
    if isinstance(value, bytes):
        sizes = [(256, 0xC4, ">B"), (2**16, 0xC5, ">H"), (2**32, 0xC6, ">I")]
    code, form = next((code, form) for limit, code, form in sizes if len(raw) < limit)
    return bytes([code]) + struct.pack(form, len(raw)) + raw


def compact_id(value: str | None) -> Any:
    """A ULID as its 16 bytes; any other id as it is."""
    digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    if value is None or len(value) != 26 or value[0] not in digits[:8] or any(one not in digits for one in value):
        return value
    number = 0
    for one in value:
        number = number << 5 | digits.index(one)
    return number.to_bytes(16, "big")


def compact_hex(value: str | None) -> Any:
    """Lower-case hexadecimal as its bytes."""
    try:
        raw = bytes.fromhex(value or "")
    except ValueError:
        return value
    return raw if raw and raw.hex() == value else value


def microseconds(text: str) -> int:
    """Since 1970, of a time such as 2026-11-20T07:23:00.000001Z."""
    seconds = calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))
    need(len(text) == 27 and text[19] == "." and text[26] == "Z", "a time", f"{text} is not in UTC with six digits")
    return seconds * 1_000_000 + int(text[20:26])


def read_record(line: bytes) -> tuple[dict[str, Any], bytes]:
    """The fields of a record, and its payload as it stands there."""
    at = line.index(b',"kind":')
    return json.loads(line[:at] + b"}"), line[at + 8 : -1]


def event_digest(previous: str, record: dict[str, Any], payload: bytes) -> str:
    """The digest that a record must have behind one with the digest `previous`."""
    actor, schema = record["actor"], record["schema"]
    kind = json.loads(payload).get("type")
    described = [
        microseconds(record["timestamp"]), compact_id(record["event_id"]), record["agent_id"], actor["type"],
        actor.get("component"), schema["name"], schema["version"], compact_id(record.get("causation_id")),
        compact_id(record.get("correlation_id")), compact_hex(record.get("trace_id")),
        compact_hex(record.get("span_id")), kind if isinstance(kind, str) else "Unknown",
    ]  # fmt: skip
    place = [record["session_id"], record["branch_id"], record["sequence"]]
    return hashlib.sha256(bytes.fromhex(previous) + pack(place) + pack(described) + payload).hexdigest()


# ---- signatures (ES256: ECDSA over P-256 with SHA-256)

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)


def add(one: tuple[int, int] | None, other: tuple[int, int] | None) -> tuple[int, int] | None:
    """The sum of two points."""
    if one is None or other is None:
        return one or other
    if one[0] == other[0]:
        if (one[1] + other[1]) % P == 0:
            return None
        slope = (3 * one[0] * one[0] - 3) * pow(2 * one[1], -1, P)
    else:
        slope = (other[1] - one[1]) * pow(other[0] - one[0], -1, P)
    x = (slope * slope - one[0] - other[0]) % P
    return x, (slope * (one[0] - x) - one[1]) % P


def times(factor: int, point: tuple[int, int] | None) -> tuple[int, int] | None:
    """A multiple of a point."""
    total: tuple[int, int] | None = None
    while factor:
        if factor & 1:
            total = add(total, point)
        point, factor = add(point, point), factor >> 1
    return total


def public_key(did: str) -> tuple[int, int] | None:
    """The P-256 key of a did:key."""
    digits, number = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", 0
    need(did.startswith("did:key:z"), did, "it is no did:key")
    for one in did[len("did:key:z") :]:
        need(one in digits, did, "it is no did:key")
        number = number * 58 + digits.index(one)
    raw = number.to_bytes(max(35, (number.bit_length() + 7) // 8), "big")
    need(len(raw) == 35 and raw[:2] == b"\x80\x24" and raw[2] in (2, 3), did, "it is no P-256 key")
    x = int.from_bytes(raw[3:], "big")
    y = pow(x * x * x - 3 * x + B, (P + 1) // 4, P)
    need(x < P and (y * y - x * x * x + 3 * x - B) % P == 0, did, "it is no point of the curve")
    return x, y if y & 1 == raw[2] & 1 else P - y


def unbase64(text: str) -> bytes:
    """base64url without padding, in its one form."""
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    need(base64.urlsafe_b64encode(raw).rstrip(b"=").decode() == text, "a token", "it is not base64url")
    return raw


def verify_token(token: str, typ: str, where: str) -> tuple[str, dict[str, Any]]:
    """Who signed a compact JWS, and its claims."""
    try:
        head, body, tail = token.split(".")
        header, claims, signature = json.loads(unbase64(head)), json.loads(unbase64(body)), unbase64(tail)
    except (ValueError, binascii.Error):
        raise Refused(f"{where}: it is no signed token") from None
    need(header.get("alg") == "ES256" and set(header) == {"alg", "typ", "kid"}, where, "its header is not accepted")
    need(str(header["typ"]).lower() == typ.lower(), where, "it is a token of another type")
    signer = str(header["kid"])
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    need(len(signature) == 64 and 0 < r < N and 0 < s < N, where, "its signature does not hold")
    digest = int.from_bytes(hashlib.sha256(f"{head}.{body}".encode()).digest(), "big")
    weight = pow(s, -1, N)
    point = add(times(digest * weight % N, G), times(r * weight % N, public_key(signer)))
    need(point is not None and point[0] % N == r, where, "its signature does not hold")
    need(claims.get("iss") == signer, where, "its issuer is not its signer")
    return signer, claims


# ---- the agent's keys, checkpoints, trees


class Keys:
    """The public history of the agent's keys: each but the first brought in by the one before it."""

    def __init__(self, content: bytes) -> None:
        said = json.loads(content)
        self.agent_id: str = said["agent_id"]
        self.keys: list[dict[str, Any]] = said["keys"]
        links = said.get("rotations", [])
        self.dids = [key["did"] for key in self.keys]
        need(self.dids and len(links) == len(self.dids) - 1, "keys.json", "a key was not brought in by a rotation")
        for number, link in enumerate(links):
            old, new = self.dids[number : number + 2]
            for token, by, of, kind in (
                (link["rotation_proof_jws"], old, new, "anima.rotation_proof"),
                (link["new_key_proof"], new, old, "anima.rotation_acceptance"),
            ):
                signer, claims = verify_token(token, "JWT", "keys.json")
                said_of = (signer, claims.get("sub"), claims.get("type"))
                need(said_of == (by, of, kind), "keys.json", f"the rotation to {new} is not proven")

    def judge(self, did: str, at_s: Any, where: str) -> int:
        """Which key it is; Refused when its signature of this time does not count."""
        need(did in self.dids and isinstance(at_s, int), where, f"{did} is no key of {self.agent_id}")
        key, at_us, skew_us = self.keys[self.dids.index(did)], at_s * 10**6, SKEW_S * 10**6
        need(at_us >= key["from_us"] - skew_us, where, f"{did} was not the agent's key yet")
        need(key.get("until_us") is None or at_us <= key["until_us"] + skew_us, where, f"{did} had been replaced")
        need(key.get("doubtful_since_us") is None or at_us < key["doubtful_since_us"], where, f"{did} was revoked")
        return self.dids.index(did)


def node(left: bytes, right: bytes) -> bytes:
    """The parent of two nodes (RFC 9162)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def leaf(digest: str) -> bytes:
    """The leaf of an event."""
    return hashlib.sha256(b"\x00" + bytes.fromhex(digest)).digest()


class Tree:
    """The Merkle tree over a branch's digests."""

    def __init__(self) -> None:
        self.size = 0
        self.peaks: list[bytes] = []

    def append(self, digest: str) -> None:
        """One more event."""
        self.size += 1
        top, below = leaf(digest), self.size
        while not below & 1:
            top, below = node(self.peaks.pop(), top), below >> 1
        self.peaks.append(top)

    def root(self) -> str:
        """Its root."""
        top = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            top = node(peak, top)
        return top.hex()


def path_root(digest: str, index: int, size: int, path: list[str]) -> str:
    """The root that an inclusion path leads to (RFC 9162, 2.1.3.2)."""
    need(0 <= index < size, "the path", "its place is outside of the tree")
    top, at, last = leaf(digest), index, size - 1
    for sibling in map(bytes.fromhex, path):
        need(last > 0, "the path", "it is too long")
        if at & 1 or at == last:
            top = node(sibling, top)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            top = node(top, sibling)
        at, last = at >> 1, last >> 1
    need(last == 0, "the path", "it is too short")
    return top.hex()


# ---- the archive


def members_of(content: bytes) -> dict[str, bytes]:
    """The members of the zip, when every byte of the file is what it must be."""
    end = struct.Struct("<4sHHHHIIH")
    need(len(content) >= end.size, "(the file)", "it is no archive")
    magic, _, _, count, _, length, start, _ = end.unpack(content[-end.size :])
    need(magic == b"PK\x05\x06" and start + length + end.size == len(content), "(the file)", "it was cut off")
    central, local = struct.Struct("<4sHHHHHHIIIHHHHHII"), struct.Struct("<4sHHHHHIIIHH")
    found: dict[str, bytes] = {}
    rebuilt, at, offset = [], start, 0
    for _ in range(count):
        need(at + central.size <= len(content), "(the file)", "its directory was changed")
        fields = central.unpack_from(content, at)
        size, name_length = fields[9], fields[10]
        raw = content[at + central.size : at + central.size + name_length]
        name = raw.decode()
        body = content[offset + local.size + len(raw) : offset + local.size + len(raw) + size]
        need(zlib.crc32(body) == fields[7], name, "its content was changed")
        common = (20, 0x0800, 0, 0, 0x21, zlib.crc32(body), size, size, len(raw), 0)
        header = local.pack(b"PK\x03\x04", *common) + raw
        need(content[offset : offset + len(header)] == header, name, "its header in the file was changed")
        entry = central.pack(b"PK\x01\x02", 3 << 8 | 20, *common, 0, 0, 0, 0o100644 << 16, offset)
        rebuilt.append(entry + raw)
        need(name not in found, name, "it is there twice")
        found[name] = body
        offset, at = offset + len(header) + size, at + central.size + len(raw)
    whole = b"".join(rebuilt)
    tail = whole + end.pack(b"PK\x05\x06", 0, 0, count, count, len(whole), offset, 0)
    need(offset == start and content[start:] == tail, "(the file)", "its directory was changed")
    need(list(found) == sorted(found, key=str.encode), "(the file)", "its members are out of order")
    return found


def check_archive(content: bytes, did: str | None) -> str:
    """Check all of an archive; a summary."""
    found = members_of(content)
    need("manifest.json" in found, "manifest.json", "it is missing")
    manifest = json.loads(found["manifest.json"])
    need(manifest.get("type") == "life.session_archive", "manifest.json", "it is no manifest")
    need(manifest.get("version") == 1, "manifest.json", "this verifier does not know its version")
    listed = {entry["name"] for entry in manifest["members"]}
    for name in sorted(listed ^ (set(found) - {"manifest.json", "manifest.jws"})):
        raise Refused(f"{name}: it is missing, or the manifest does not know it")
    keys = Keys(found["keys.json"]) if "keys.json" in found else None
    need(keys is None or keys.agent_id == manifest["agent_id"], "keys.json", "it is of another agent")
    checkpoints = read_checkpoints(found["checkpoints.jsonl"], keys, manifest["session_id"])
    events = redacted = 0
    for branch in manifest["branches"]:
        waiting = sorted(checkpoints.get(branch["branch_id"], []), key=lambda one: -one["sequence"])
        redacted += check_branch(found[branch["member"]], branch, manifest["session_id"], waiting, keys)
        events += branch["events"]
    blobs = 0
    for entry in manifest["members"]:
        body, name = found[entry["name"]], entry["name"]
        hashed = hashlib.sha256(body).hexdigest()
        need((hashed, len(body)) == (entry["sha256"], entry["size"]), name, "its content is not what the manifest says")
        blobs += name.startswith("blobs/")
        need(not name.startswith("blobs/") or name == "blobs/" + hashed, name, "its content has another hash")
    signer = check_signature(found, keys)
    need(did is None or signer is not None, "manifest.jws", "the archive is not signed")
    need(did is None or (keys is not None and did in keys.dids), "keys.json", f"{did} is no key of this agent")
    count = sum(map(len, checkpoints.values()))
    return (
        f"{manifest['session_id']}: {events} events in {len(manifest['branches'])} branches, {blobs} blobs, "
        f"{redacted} redacted, {count} checkpoints.\n"
        + (f"Signed by {signer}." if signer else "Not signed: it agrees with itself, and that is all it shows.")
        + (f"\nKeys of {keys.agent_id}: {', '.join(keys.dids)}" if keys else "")
    )


def read_checkpoints(content: bytes, keys: Keys | None, session: str) -> dict[str, list[dict[str, Any]]]:
    """The claims of all checkpoints, by branch, in the order in which they were signed."""
    found: dict[str, list[dict[str, Any]]] = {}
    newest = (0, 0)
    for number, line in enumerate(content.splitlines(), 1):
        where = f"checkpoints.jsonl line {number}"
        need(keys, "keys.json", "it is missing, so the checkpoints can't be checked")
        assert keys is not None
        signer, claims = verify_token(json.loads(read_record(line)[1])["data"]["token"], "life-checkpoint+jwt", where)
        index = keys.judge(signer, claims["iat"], where)
        need((claims["type"], claims["session"]) == ("lago.checkpoint", session), where, "it is of another session")
        need(index >= newest[0] and claims["iat"] >= newest[1], where, "it is older than the one before it")
        newest = (index, claims["iat"])
        found.setdefault(claims["branch"], []).append(claims)
    return found


def check_branch(
    packed: bytes, branch: dict[str, Any], session: str, waiting: list[dict[str, Any]], keys: Keys | None
) -> int:
    """Follow the chain of one branch; how many of its events are redacted."""
    digest, tree = "0" * 64, Tree()
    stubs: list[tuple[str, str, int, str, str]] = []
    redactions: dict[str, list[tuple[int, str, str]]] = {}
    for number, line in enumerate(unpacked(packed, branch["member"]), 1):
        where = f"{branch['member']} line {number}"
        try:
            record, payload = read_record(line)
            found = event_digest(digest, record, payload)
        except (ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
            raise Refused(f"{where}: it is no record ({error})") from None
        place = (record["session_id"], record["branch_id"], record["sequence"])
        need(place == (session, branch["branch_id"], number), where, "an event is missing or in another place")
        if found != record["digest"]:
            need(payload.startswith(STUB), where, f"event {record['event_id']} was changed")
            stubs.append((where, json.loads(payload)["data"]["redaction"], number, record["digest"], found))
        if payload.startswith(b'{"type":"Custom","event_type":"lago.redaction",'):
            redactions[record["event_id"]] = read_redaction(payload, record, keys, where)
        digest = record["digest"]
        tree.append(digest)
        while waiting and waiting[-1]["sequence"] <= number:
            claims = waiting.pop()
            signed = (claims["sequence"], claims["digest"], claims["root"])
            need(signed == (number, digest, tree.root()), where, "a signed checkpoint says another digest")
    for where, redaction, number, stored, found in stubs:
        covered = (number, stored, found) in redactions.get(redaction, [])
        need(covered, where, "the event is a redaction stub, and no redaction says so")
    need((tree.size, digest) == (branch["events"], branch["digest"]), branch["member"], "the branch ends elsewhere")
    need(not waiting, branch["member"], "a signed checkpoint covers more events than are there")
    return len(stubs)


def read_redaction(payload: bytes, record: dict[str, Any], keys: Keys | None, where: str) -> list[tuple[int, str, str]]:
    """What a redaction says of which events, when its authorisation holds."""
    data = json.loads(payload)["data"]
    signer, claims = verify_token(data["authorisation"], "life-redaction+jwt", where)
    if keys is not None:
        keys.judge(signer, claims.get("iat"), where)
    events = json.dumps(data["events"], separators=(",", ":"), ensure_ascii=False).encode()
    said = [claims.get(name) for name in ("type", "session", "branch", "reason", "events_sha256")]
    is_same = said == [
        "lago.redaction", record["session_id"], record["branch_id"], data["reason"], hashlib.sha256(events).hexdigest()
    ]  # fmt: skip
    need(is_same, where, "the redaction says something else than was signed")
    return [(one["sequence"], one["digest"], one["stub_digest"]) for one in data["events"]]


def unpacked(packed: bytes, name: str) -> Iterator[bytes]:
    """The lines of a compressed member."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as lines:
            for line in lines:
                yield line.rstrip(b"\n")
    except (OSError, EOFError, zlib.error) as error:
        raise Refused(f"{name}: it can't be unpacked ({error})") from None


def check_signature(found: dict[str, bytes], keys: Keys | None) -> str | None:
    """Who signed the manifest."""
    if "manifest.jws" not in found:
        return None
    signer, claims = verify_token(found["manifest.jws"].decode(), "life-archive+jwt", "manifest.jws")
    hashed = hashlib.sha256(found["manifest.json"]).hexdigest()
    need(claims.get("manifest_sha256") == hashed, "manifest.json", "it is not the one that was signed")
    need(claims.get("type") == "lago.archive", "manifest.jws", "it signs something else")
    need(keys, "keys.json", "it is missing, so the signature can't be checked")
    assert keys is not None
    keys.judge(signer, claims.get("iat"), "manifest.jws")
    return signer


def check_proof(content: bytes, did: str | None) -> str:
    """Check an inclusion proof; a summary."""
    proof = json.loads(content)
    need(proof.get("type") == "life.inclusion_proof", "the proof", "it is none")
    at = content.index(b'"record":') + len(b'"record":')
    text = content[at:].decode()
    _, length = json.JSONDecoder().raw_decode(text)
    record, payload = read_record(text[:length].encode())
    redacted = payload.startswith(STUB)
    found = event_digest(proof["previous_digest"], record, payload)
    need(found == record["digest"] or redacted, "the record", "its content does not give its digest")
    signer, claims = verify_token(proof["checkpoint"], "life-checkpoint+jwt", "the checkpoint")
    of = (claims["type"], claims["session"], claims["branch"], claims["sequence"])
    is_of = of == ("lago.checkpoint", record["session_id"], record["branch_id"], proof["size"])
    need(is_of, "the checkpoint", "it is of another branch, or of another length of it")
    root = path_root(record["digest"], record["sequence"] - 1, proof["size"], proof["path"])
    need(root == claims["root"], "the path", "it does not lead to the signed root")
    need(did in (None, signer), "the checkpoint", f"it is signed by {signer}")
    what = "was there; its content was redacted" if redacted else "was there as the proof says"
    return (
        f"Event {record['event_id']} (sequence {record['sequence']} of {record['session_id']}/{record['branch_id']}) "
        f"{what}.\nSigned by {signer}."
    )


def main(arguments: list[str]) -> int:
    """Check the file that is named."""
    names = [word for word in arguments if not word.startswith("--")]
    did = arguments[arguments.index("--did") + 1] if "--did" in arguments[:-1] else None
    files = [name for name in names if name != did]
    if len(files) != 1:
        sys.stderr.write(str(__doc__))
        return 2
    sys.setrecursionlimit(50_000)  # events may be nested deeper than Python reads JSON by itself
    try:
        content = Path(files[0]).read_bytes()
        check = check_proof if content[:1] == b"{" else check_archive
        sys.stdout.write(check(content, did) + "\n")
        return 0
    except Refused as error:
        sys.stderr.write(f"DOES NOT HOLD  {error}\n")
    except OSError as error:
        sys.stderr.write(f"{files[0]}: {error.strerror}\n")
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, StopIteration, RecursionError) as error:
        sys.stderr.write(f"DOES NOT HOLD  {files[0]}: it can't be read ({type(error).__name__}: {error})\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
