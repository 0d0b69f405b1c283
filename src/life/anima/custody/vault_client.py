"""The Transit API of Vault and OpenBao, as far as an identity key needs it (anima.md §13.2; AN-VLT-1, AN-VLT-5, AN-VLT-6).

Plain HTTP with JSON. Requests carry `X-Vault-Token`, `X-Vault-Request`, and `X-Vault-Namespace` where one is set; digests go
as standard base64 with padding. No proxy is taken from the environment and no redirect is followed, so the token reaches
only the configured server; without TLS, only loopback is spoken to.

The token is read from its source when the client starts and again when the server refuses it; half of its lifetime after
that, the next request renews it first. What the server says beside an error code is cut short and put into the message.
"""

from __future__ import annotations

import base64
import ipaddress
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeVar

import httpx2
import msgspec

from life.aios.errors import CustodyError
from life.aios.json import JsonObject
from life.aios.ports.clock import Clock, Entropy
from life.anima.custody.credentials import CredentialSource
from life.anima.custody.errors import KeyStoreSealedError
from life.anima.errors import (
    CustodyAuthFailedError,
    CustodyInputError,
    CustodyProtocolError,
    CustodyTimeoutError,
    CustodyUnavailableError,
    KeyNotFoundError,
    StaleHandleError,
)
from life.crypto.base64url import decode_base64url
from life.crypto.errors import InvalidEncodingError

MAX_ANSWER_BYTES: Final = 256 * 1024
ATTEMPTS: Final = 3
_RETRY_US: Final = 100_000
_QUOTED_CHARACTERS: Final = 200
_NAME: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,126}[A-Za-z0-9_])?")
_USER: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

_SIGNATURE: Final = re.compile(r"vault:v([1-9][0-9]{0,8}):([A-Za-z0-9_-]{86})")

_Answer = TypeVar("_Answer")
Method = Literal["GET", "POST"]


@dataclass(frozen=True, kw_only=True)
class VaultSettings:
    """Which server, and which key. `mount` and `namespace` are paths of plain names."""

    address: str
    """`https://host:8200`, or `http://127.0.0.1:8200`."""
    key_name: str
    """The Transit key, of type `ecdsa-p256`; `auth_key_name` gives one for each user."""
    mount: str = "transit"
    namespace: str | None = None
    """Sent as `X-Vault-Namespace`; where every user has a namespace, the same key name may serve in each."""
    ca_file: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    timeout_s: float = 10.0

    def __post_init__(self) -> None:
        for path in (self.key_name, *self.mount.split("/"), *(self.namespace or "none").split("/")):
            if _NAME.fullmatch(path) is None:
                raise CustodyInputError("Key, mount and namespace are plain names (letters, digits, '_', '.', '-').")
        if (self.client_certificate is None) != (self.client_key is None):
            raise CustodyInputError("A client certificate needs its key, and the key its certificate.")
        check_address(self.address)


class TransitKey(NamedTuple):
    """What the server says of a key. `public_keys` maps versions to PEM texts."""

    type: str
    latest_version: int
    min_encryption_version: int
    exportable: bool
    public_keys: dict[int, str]


class TransitSignature(NamedTuple):
    """A signature and the version of the key that made it."""

    version: int
    signature: bytes


class _Errors(msgspec.Struct):
    errors: list[str] = []


class _KeyVersion(msgspec.Struct):
    public_key: str = ""


class _KeyData(msgspec.Struct):
    type: str
    latest_version: int
    keys: dict[str, _KeyVersion]
    min_encryption_version: int = 0
    exportable: bool = False
    allow_plaintext_backup: bool = False


class _SignData(msgspec.Struct):
    signature: str


class _TokenData(msgspec.Struct):
    ttl: int
    renewable: bool = False


class _Lease(msgspec.Struct):
    lease_duration: int
    renewable: bool = False


class _KeyAnswer(msgspec.Struct):
    data: _KeyData


class _SignAnswer(msgspec.Struct):
    data: _SignData


class _TokenAnswer(msgspec.Struct):
    data: _TokenData


class _RenewAnswer(msgspec.Struct):
    auth: _Lease


def auth_key_name(user_id: str) -> str:
    """`anima-<user_id>-auth-v1`, for servers without namespaces. CustodyInputError for an id that is no plain name."""
    if _USER.fullmatch(user_id) is None:
        raise CustodyInputError("A user id is 1 to 64 letters, digits, '_' and '-'.")
    return f"anima-{user_id}-auth-v1"


def check_address(address: str) -> None:
    """CustodyInputError for an address that is no server's, or that would carry the token over a network in clear."""
    try:
        url = httpx2.URL(address)
    except httpx2.InvalidURL:
        raise CustodyInputError("The address of Vault is not a URL.") from None
    if (
        url.scheme not in ("https", "http")
        or not url.host
        or url.userinfo
        or url.query
        or url.fragment
        or url.path != "/"
    ):
        raise CustodyInputError("The address of Vault is https://host:port, without anything behind it.")
    if url.scheme == "http" and not _is_loopback(url.host):
        raise CustodyInputError(
            "Vault is spoken to by https; plain http reaches only this machine.", next_step="Use an https address."
        )


class VaultClient:
    """One key of one server. Close it."""

    def __init__(
        self, settings: VaultSettings, credential: CredentialSource, *, clock: Clock, entropy: Entropy
    ) -> None:
        """Opens nothing yet. CustodyInputError for certificates that can't be read, or a credential that is no token."""
        self.settings = settings
        self._credential = credential
        self._clock = clock
        self._entropy = entropy
        self._token = ""
        self._renew_at_us: int | None = None
        self._renewing = False
        self._http = httpx2.AsyncClient(
            base_url=settings.address,
            timeout=settings.timeout_s,
            verify=_tls(settings),
            trust_env=False,
            follow_redirects=False,
        )

    async def close(self) -> None:
        """Close the connections and forget the token."""
        self._token = ""
        await self._http.aclose()

    async def read_key(self) -> TransitKey:
        """Type, versions and public keys. KeyNotFoundError when there is no such key or mount."""
        path = f"{self.settings.mount}/keys/{self.settings.key_name}"
        data = _decode(await self._ask("GET", path), _KeyAnswer).data
        try:
            public_keys = {int(version): key.public_key for version, key in data.keys.items()}
        except ValueError:
            raise CustodyProtocolError("Vault names a key's version by something that is no number.") from None
        return TransitKey(
            type=data.type,
            latest_version=data.latest_version,
            min_encryption_version=data.min_encryption_version,
            exportable=data.exportable or data.allow_plaintext_backup,
            public_keys=public_keys,
        )

    async def sign(self, digest: bytes, version: int) -> TransitSignature:
        """r‖s over a SHA-256 digest by exactly this version; repeated a few times while the server is busy or away.

        StaleHandleError when the version may not sign any more.
        """
        body: JsonObject = {
            "input": base64.b64encode(digest).decode("ascii"),
            "prehashed": True,
            "hash_algorithm": "sha2-256",
            "marshaling_algorithm": "jws",
            "key_version": version,
        }
        path = f"{self.settings.mount}/sign/{self.settings.key_name}"
        return _signature(_decode(await self._repeated("POST", path, body), _SignAnswer).data.signature)

    async def rotate(self) -> None:
        """Make a new version. Not repeated: after an error, read the key to see whether there is one."""
        await self._ask("POST", f"{self.settings.mount}/keys/{self.settings.key_name}/rotate", {})

    async def forbid_older(self, version: int) -> None:
        """From now on only `version` and newer ones sign. May be repeated."""
        path = f"{self.settings.mount}/keys/{self.settings.key_name}/config"
        await self._ask("POST", path, {"min_encryption_version": version})

    async def renew_if_due(self) -> None:
        """Renew the token when half of its lifetime is over. Errors pass through; the next request tries again."""
        if self._renew_at_us is None or self._renewing or self._clock.monotonic_us() < self._renew_at_us:
            return
        self._renewing = True
        try:
            lease = _decode(await self._ask("POST", "auth/token/renew-self", {}), _RenewAnswer).auth
            self._expect(lease.lease_duration, renewable=lease.renewable)
        finally:
            self._renewing = False

    @property
    def renewal_due_in_us(self) -> int | None:
        """Microseconds until the token should be renewed; None when it needs no renewal or can't be renewed."""
        return None if self._renew_at_us is None else max(0, self._renew_at_us - self._clock.monotonic_us())

    async def _log_in(self) -> None:
        """Take the token from its source, and learn how long it lives, where it may ask that."""
        token = self._credential.reveal()
        if not token.isascii():
            raise CustodyInputError("A Vault token is ASCII text.")
        self._token, self._renew_at_us = token, None
        try:
            answer = _decode(await self._send("GET", "auth/token/lookup-self", None), _TokenAnswer)
        except CustodyAuthFailedError:  # a token without the default policy may sign, but not look itself up
            return
        except BaseException:
            self._token = ""  # nothing is known of it yet; the next request begins anew
            raise
        self._expect(answer.data.ttl, renewable=answer.data.renewable)

    def _expect(self, ttl_s: int, *, renewable: bool) -> None:
        self._renew_at_us = self._clock.monotonic_us() + ttl_s * 500_000 if renewable and ttl_s > 0 else None

    async def _repeated(self, method: Method, path: str, body: JsonObject) -> bytes:
        for attempt in range(1, ATTEMPTS):
            try:
                return await self._ask(method, path, body)
            except KeyStoreSealedError:  # waiting a moment does not unseal it
                raise
            except (CustodyUnavailableError, CustodyTimeoutError):
                jitter = 128 + self._entropy.token_bytes(1)[0]
                await self._clock.sleep_us(_RETRY_US * attempt * jitter // 256)
        return await self._ask(method, path, body)

    async def _ask(self, method: Method, path: str, body: JsonObject | None = None) -> bytes:
        """One request; when the server refuses the token, once more with the token that its source has now."""
        if not self._token:
            await self._log_in()
        elif not self._renewing:
            try:
                await self.renew_if_due()
            except (CustodyAuthFailedError, CustodyInputError, CustodyUnavailableError, CustodyTimeoutError):
                pass  # the token may still be good; if not, the request itself says so
        try:
            return await self._send(method, path, body)
        except CustodyAuthFailedError:
            if self._renewing or self._credential.reveal() == self._token:
                raise
        await self._log_in()
        return await self._send(method, path, body)

    async def _send(self, method: Method, path: str, body: JsonObject | None) -> bytes:
        headers = {"X-Vault-Token": self._token, "X-Vault-Request": "true"}
        if self.settings.namespace is not None:
            headers["X-Vault-Namespace"] = self.settings.namespace
        content = None if body is None else msgspec.json.encode(body)
        received = bytearray()
        try:
            async with self._http.stream(method, f"/v1/{path}", headers=headers, content=content) as response:
                async for chunk in response.aiter_bytes():
                    received += chunk
                    if len(received) > MAX_ANSWER_BYTES:
                        raise CustodyProtocolError("Vault's answer is longer than any that is expected.")
        except httpx2.TimeoutException:
            raise CustodyTimeoutError(f"Vault did not answer within {self.settings.timeout_s:g} s.") from None
        except (httpx2.HTTPError, ssl.SSLError) as error:  # a TLS alert that comes late is a bare SSLError
            raise CustodyUnavailableError(
                f"Vault at {self.settings.address} can't be reached ({type(error).__name__}).",
                next_step="Check the address, the certificate, and that the server runs.",
            ) from None
        if response.status_code >= 300:
            raise _refusal(response.status_code, bytes(received), self.settings)
        return bytes(received)


def _decode(content: bytes, form: type[_Answer]) -> _Answer:
    try:
        return msgspec.json.decode(content, type=form)
    except msgspec.DecodeError:
        raise CustodyProtocolError("Vault's answer is not in the form of the Transit API.") from None


def _signature(text: str) -> TransitSignature:
    """`vault:v<version>:<base64url>`, as marshalling `jws` gives it."""
    found = _SIGNATURE.fullmatch(text)
    try:
        if found is not None:
            return TransitSignature(int(found[1]), decode_base64url(found[2]))
    except InvalidEncodingError:
        pass
    raise CustodyProtocolError("Vault's signature is not in the form vault:v<version>:<base64url of r and s>.")


def _refusal(status: int, content: bytes, settings: VaultSettings) -> CustodyError:
    """What an error answer means (AN-VLT-5; statuses and texts as OpenBao 2.4 gives them)."""
    try:
        errors = msgspec.json.decode(content, type=_Errors).errors
    except msgspec.DecodeError:
        errors = []
    said = "".join(letter if letter.isprintable() else " " for letter in " ".join(errors))
    said = " ".join(said.split())[:_QUOTED_CHARACTERS]
    details: dict[str, str | int | bool] = {"status": status, "key": settings.key_name}
    if "minimum encryption key version" in said:
        return StaleHandleError("This version of the Vault key was rotated away.", details=details)
    if status == 403:
        return CustodyAuthFailedError(
            f"Vault refuses the token ({said or 'permission denied'}).",
            next_step="Check that it has not expired, and that its policy allows this key (docs/custody/vault-transit.md).",
            details=details,
        )
    if status == 404 or "signing key not found" in said or "higher than the latest key version" in said:
        return KeyNotFoundError(
            f"Vault has no such key: {settings.mount}/keys/{settings.key_name} ({said or 'not found'}).",
            next_step="Check mount, namespace and name of the key.",
            details=details,
        )
    if status == 503 and "sealed" in said.lower():
        return KeyStoreSealedError("Vault is sealed.", next_step="Unseal it: `bao operator unseal`.", details=details)
    if status in (412, 429, 472, 473) or status >= 500:
        return CustodyUnavailableError(f"Vault can't serve this now (HTTP {status} {said}).", details=details)
    if status < 400:
        return CustodyProtocolError(
            "Vault answers with a redirect, which is not followed.",
            next_step="Use the address of the active server, or one that forwards to it.",
            details=details,
        )
    return CustodyInputError(f"Vault does not accept the request (HTTP {status} {said}).", details=details)


def _tls(settings: VaultSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.client_certificate is not None:
            context.load_cert_chain(settings.client_certificate, settings.client_key)
    except OSError as error:
        raise CustodyInputError(
            f"A certificate for Vault can't be used: {error.strerror or 'not in PEM form'}."
        ) from None
    return context


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
