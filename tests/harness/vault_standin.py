"""A stand-in for a Vault server's Transit API on loopback (a fake, documented as such).

It speaks real HTTP and answers as OpenBao 2.4 was seen to answer, which `test_vault_transit.py` checks by running the same
scenarios against both: statuses, error texts, key versions, `vault:vN:` prefixes, standard base64 only, both marshalling
algorithms, prehashed digests, namespaces, sealing, token lookup and renewal. Beyond that it can be told to misbehave. Keys
are P-256, live in this process and are for tests only.
"""

from __future__ import annotations

import base64
import json
import ssl
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ROOT_TOKEN: Final = "root-token-of-a-test"
_HASHES: Final[dict[str, HashAlgorithm]] = {"sha2-256": SHA256(), "sha2-384": SHA384(), "sha2-512": SHA512()}

Answer = tuple[int, dict[str, Any] | None]


@dataclass
class TransitKey:
    """A key with its versions."""

    type: str = "ecdsa-p256"
    versions: list[ec.EllipticCurvePrivateKey] = field(default_factory=list)
    min_encryption_version: int = 0
    exportable: bool = False

    def describe(self, name: str) -> dict[str, Any]:
        """What reading the key answers."""
        keys = {
            str(number): {"name": "P-256", "creation_time": "2026-01-01T00:00:00Z", "public_key": pem(version)}
            for number, version in enumerate(self.versions, start=1)
        }
        return {
            "name": name,
            "type": self.type,
            "latest_version": len(self.versions),
            "min_available_version": 0,
            "min_decryption_version": 1,
            "min_encryption_version": self.min_encryption_version,
            "exportable": self.exportable,
            "allow_plaintext_backup": False,
            "supports_signing": True,
            "keys": keys,
        }


@dataclass
class Token:
    """A token; `may` decides by method and path, `ttl_s` 0 never ends."""

    may: Callable[[str, str], bool] = lambda method, path: True
    ttl_s: int = 0
    renewable: bool = False
    renewals: int = 0


@dataclass
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class _Server(ThreadingHTTPServer):
    """Clients that hang up are nothing to report."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Report only what is our own fault."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class VaultStandin:
    """A running server. A context manager; `address` is its URL."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.tokens: dict[str, Token] = {ROOT_TOKEN: Token()}
        self.keys: dict[tuple[str, str], TransitKey] = {}
        self.namespaces = {""}
        self.sealed = False
        self.seen: list[Seen] = []
        self.before: Callable[[Seen], Answer | None] = lambda request: None
        """May answer a request itself, before the server looks at it."""
        self.after: Callable[[Seen, Answer], Answer | None] = lambda request, answer: answer
        """May change what is answered to a request that was carried out; None hangs up."""
        self._is_down = False
        self._lock = threading.Lock()
        standin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 65536  # one packet for head and body

            def do_GET(self) -> None:
                standin._serve(self)

            def do_POST(self) -> None:
                standin._serve(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.address = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Go down, hanging up on whoever is connected; may be called again."""
        self._is_down = True
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def make_key(self, name: str, *, namespace: str = "", kind: str = "ecdsa-p256") -> TransitKey:
        """What an operator does: a new key with one version."""
        self.namespaces.add(namespace)
        key = self.keys[namespace, name] = TransitKey(type=kind)
        key.versions.append(ec.generate_private_key(ec.SECP256R1()))
        return key

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        raw = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        try:
            body = json.loads(raw) if raw else {}
        except ValueError:
            body = None
        request = Seen(handler.command, handler.path.removeprefix("/v1/"), headers, body or {})
        with self._lock:
            self.seen.append(request)
        early = self.before(request)
        if early is not None:
            answer: Answer | None = early
        else:
            with self._lock:
                carried_out = (400, {"errors": ["error parsing JSON"]}) if body is None else self._answer(request)
            answer = self.after(request, carried_out)
        if answer is None or self._is_down:
            handler.close_connection = True
            return
        status, content = answer
        sent = b"" if content is None else json.dumps(content).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(sent)))
        handler.end_headers()
        handler.wfile.write(sent)

    def _answer(self, request: Seen) -> Answer:
        if self.sealed:
            return 503, {"errors": ["Vault is sealed"]}
        namespace = request.headers.get("x-vault-namespace", "")
        if namespace not in self.namespaces:
            return 404, {"errors": ["namespace not found"]}
        token = self.tokens.get(request.headers.get("x-vault-token", ""))
        if token is None or not token.may(request.method, request.path):
            return 403, {"errors": ["1 error occurred:\n\t* permission denied\n\n"]}
        match request.method, request.path.split("/"):
            case "GET", ["auth", "token", "lookup-self"]:
                return 200, {"data": {"ttl": token.ttl_s, "renewable": token.renewable}}
            case "POST", ["auth", "token", "renew-self"]:
                if not token.renewable:
                    return 400, {"errors": ["lease is not renewable"]}
                token.renewals += 1
                return 200, {"auth": {"lease_duration": token.ttl_s, "renewable": True}, "data": None}
            case method, ["transit", *rest]:
                return self._transit(method, rest, namespace, request.body)
        return 404, {"errors": [f'no handler for route "{request.path}". route entry not found.']}

    def _transit(self, method: str, rest: list[str], namespace: str, body: dict[str, Any]) -> Answer:
        key = self.keys.get((namespace, rest[1]))
        match method, rest:
            case "POST", ["sign", _]:
                return (400, {"errors": ["signing key not found"]}) if key is None else _sign(key, body)
            case _ if key is None:
                return 404, {"errors": []}
            case "GET", ["keys", name]:
                return 200, {"data": key.describe(name)}
            case "POST", ["keys", name, "rotate"]:
                key.versions.append(ec.generate_private_key(ec.SECP256R1()))
                return 200, {"data": key.describe(name)}
            case "POST", ["keys", name, "config"]:
                wanted = int(body["min_encryption_version"])
                if wanted > len(key.versions):
                    said = f"cannot set min encryption version of {wanted}, latest key version is {len(key.versions)}"
                    return 400, {"errors": [said]}
                key.min_encryption_version = wanted
                return 200, {"data": key.describe(name)}
        return 405, {"errors": ["unsupported operation"]}


def _sign(key: TransitKey, body: dict[str, Any]) -> Answer:
    """The Transit rules of signing, in the order in which OpenBao applies them."""
    version = int(body.get("key_version") or len(key.versions))
    algorithm, marshaling = body.get("hash_algorithm", "sha2-256"), body.get("marshaling_algorithm", "asn1")
    if algorithm not in _HASHES:
        return 400, {"errors": [f'invalid hash algorithm "{algorithm}"']}
    if marshaling not in ("asn1", "jws"):
        return 400, {"errors": [f'invalid marshaling type "{marshaling}"']}
    try:
        data = base64.b64decode(str(body.get("input", "")), validate=True)
    except ValueError:
        return 400, {"errors": ["unable to decode input as base64: illegal base64 data at input byte 0"]}
    if version > len(key.versions):
        return _trouble("requested version for signing is higher than the latest key version")
    if version < max(key.min_encryption_version, 1):
        return _trouble("requested version for signing is less than the minimum encryption key version")
    hashing = _HASHES[algorithm]
    if body.get("prehashed"):
        # Any length is taken, as ECDSA takes it: the leftmost 256 bits, as a number.
        digest = data[:32].rjust(32, b"\0")
        signed = key.versions[version - 1].sign(digest, ec.ECDSA(Prehashed(SHA256())))
    else:
        signed = key.versions[version - 1].sign(data, ec.ECDSA(hashing))
    if marshaling == "asn1":
        text = base64.b64encode(signed).decode()
    else:
        r, s = decode_dss_signature(signed)
        raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        text = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    return 200, {"data": {"signature": f"vault:v{version}:{text}", "key_version": version}}


def _trouble(said: str) -> Answer:
    return 500, {"errors": [f"1 error occurred:\n\t* {said}\n\n"]}


def pem(key: ec.EllipticCurvePrivateKey) -> str:
    """The public half as Vault shows it."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def hang(seconds: float) -> Callable[[Seen], Answer | None]:
    """For `before`: answer late."""

    def late(_request: Seen) -> Answer | None:
        time.sleep(seconds)
        return None

    return late
