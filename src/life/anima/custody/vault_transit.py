"""VaultTransitAnima: the identity key in Vault or OpenBao, in its Transit engine (anima.md §13.2).

Transit makes the P-256 key, keeps it and signs with it; this process sees digests and signatures. Transit has no
secp256k1, so a wallet comes from another backend, put beside this one by `split.SplitAnima` (AN-VLT-3).

A handle is pinned to one version of the key: the one whose public half is the DID that the journal names. Every request
names that version and every answer is checked against it, so a rotation elsewhere never changes who signs (AN-VLT-1).
`kid` in a token is the DID and nothing else (AN-VLT-2).

Rotation makes a new version, which nobody uses until the journal has it; the switch forbids the older ones at the server
(AN-VLT-4). It needs a token that may rotate, which the daily one should not (AN-VLT-7).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from life.aios.errors import CustodyError
from life.aios.ports.clock import Clock, Entropy
from life.anima.chain import RotationLink
from life.anima.custody.credentials import CredentialSource
from life.anima.custody.external_keys import ExternalKeysAnima, did_key_of
from life.anima.custody.rotation_lock import RotationLock
from life.anima.custody.vault_client import TransitKey, VaultClient, VaultSettings
from life.anima.custody.wallet_rules import CustodyObserver, WalletRules
from life.anima.errors import (
    AmbiguousKeyError,
    BadSignatureError,
    CustodyProtocolError,
    KeyNotFoundError,
    StaleHandleError,
    UnsupportedOperationError,
)
from life.crypto.errors import InvalidSignatureError
from life.crypto.p256 import P256PublicKey

KEY_TYPE: Final = "ecdsa-p256"
_RENEWAL_PAUSE_US: Final = 30_000_000
_IDLE_PAUSE_US: Final = 3_600_000_000


class VaultTransitAnima(ExternalKeysAnima):
    """The Custody port over a Transit key: tokens, and no wallet. Make one with `open`; close it."""

    def __init__(
        self,
        client: VaultClient,
        key: TransitVersion,
        *,
        clock: Clock,
        observer: CustodyObserver | None,
        exportable: bool,
    ) -> None:
        """Takes over `client`. Callers outside this module use `open`."""
        super().__init__(
            key, None, backend="vault", clock=clock, rules=WalletRules(), observer=observer, exportable=exportable
        )
        self._client = client
        self._sleeping_clock = clock
        self.key_version = key.version
        """The version of the Transit key that signs."""

    @classmethod
    async def open(
        cls,
        settings: VaultSettings,
        credential: CredentialSource,
        *,
        clock: Clock,
        entropy: Entropy,
        did: str | None = None,
        observer: CustodyObserver | None = None,
    ) -> VaultTransitAnima:
        """The handle of the version that is `did`; without one, of the newest version. Nothing is made.

        KeyNotFoundError without such a key or version; UnsupportedOperationError for a key of another type;
        StaleHandleError for a version that may not sign any more; CustodyAuthFailedError, KeyStoreSealedError,
        CustodyUnavailableError, CustodyTimeoutError as the server answers.
        """
        client = VaultClient(settings, credential, clock=clock, entropy=entropy)
        try:
            key = await _read(client)
            version = _version_of(key, did, settings)
            if version < key.min_encryption_version:
                raise StaleHandleError(
                    f"Version {version} of the Vault key was rotated away; it may not sign any more.",
                    next_step="Open the identity by its current DID.",
                )
            pinned = TransitVersion(client, version, _public_key(key, version))
            handle = cls(client, pinned, clock=clock, observer=observer, exportable=key.exportable)
            await handle.check()
            return handle
        except BaseException:
            await client.close()
            raise

    async def close(self) -> None:
        """Close the connection. Every later signing call is a StaleHandleError. May be called again."""
        await super().close()
        await self._client.close()

    async def keep_token_alive(self) -> None:
        """Renew the token at half of its lifetime for as long as this runs; a failure is tried again (AN-VLT-6).

        For a daemon that may be idle longer than its token lives. A handle that is used renews it anyway.
        """
        while not self._has_closed():
            due_us = self._client.renewal_due_in_us
            await self._sleeping_clock.sleep_us(_IDLE_PAUSE_US if due_us is None else due_us)
            if self._has_closed():
                return
            try:
                await self._client.renew_if_due()
            except CustodyError:
                await self._sleeping_clock.sleep_us(_RENEWAL_PAUSE_US)
            except RuntimeError:  # the HTTP client's word for a request after it was closed
                if not self._has_closed():
                    raise

    def _has_closed(self) -> bool:
        return self._closed is not None


class TransitVersion:
    """One version of a Transit key, as `ExternalKey`."""

    __slots__ = ("_client", "_public", "public_key", "version")

    def __init__(self, client: VaultClient, version: int, public_key: bytes) -> None:
        """`public_key` has 33 bytes."""
        self._client = client
        self._public = P256PublicKey(public_key)
        self.version = version
        self.public_key = public_key

    async def sign_digest(self, digest: bytes) -> bytes:
        """64 bytes r‖s. CustodyProtocolError when another version signed, BadSignatureError when it does not verify."""
        answer = await self._client.sign(digest, self.version)
        if answer.version != self.version:
            raise CustodyProtocolError(f"Vault signed with version {answer.version}, not {self.version}.")
        try:
            self._public.verify_digest(digest, answer.signature)
        except InvalidSignatureError:
            raise BadSignatureError("Vault's signature does not verify; nothing was released.") from None
        return answer.signature


class VaultRotator:
    """How a Transit key is replaced (`life.anima.rotation.KeyRotator`). Make one with `open`; close it.

    Transit can't destroy a newest version, so a discarded one stays there unused, and no later rotation takes it.
    """

    def __init__(self, client: VaultClient, lock: RotationLock, *, did: str, clock: Clock) -> None:
        """Takes over client and lock. Callers use `open`."""
        self._client = client
        self._lock = lock
        self._did = did
        self._clock = clock
        self._discarded = 0

    @classmethod
    async def open(
        cls,
        settings: VaultSettings,
        credential: CredentialSource,
        *,
        did: str,
        folder: Path,
        clock: Clock,
        entropy: Entropy,
    ) -> VaultRotator:
        """The rotator of the identity `did`, whose folder is locked meanwhile; `credential` may rotate the key.

        ConflictError while another one works on this machine; errors of `VaultTransitAnima.open`.
        """
        lock = RotationLock(folder)
        client = VaultClient(settings, credential, clock=clock, entropy=entropy)
        try:
            _version_of(await _read(client), did, settings)
        except BaseException:
            await client.close()
            lock.release()
            raise
        return cls(client, lock, did=did, clock=clock)

    async def prepared(self) -> VaultTransitAnima | None:
        """The handle of the newest version, when it is newer than the identity's and was not discarded here."""
        key = await _read(self._client)
        own = _version_of(key, self._did, self._client.settings)
        if key.latest_version <= max(own, self._discarded):
            return None
        return self._handle(key, key.latest_version)

    async def prepare(self) -> VaultTransitAnima:
        """A handle of a new version, or of the one that is prepared already.

        An error on the way leaves at most a version that nobody uses; the next call finds it.
        """
        prepared = await self.prepared()
        if prepared is None:
            await self._client.rotate()
            prepared = await self.prepared()
        if prepared is None:
            raise CustodyProtocolError("Vault rotated the key, but has no newer version.")
        return prepared

    async def commit(self, links: tuple[RotationLink, ...]) -> None:
        """Let only the new version and later ones sign. `links` names the new DID."""
        new_did = links[-1].new_did
        key = await _read(self._client)
        version = _version_of(key, new_did, self._client.settings)
        if key.min_encryption_version < version:
            await self._client.forbid_older(version)
        self._did = new_did

    async def discard(self) -> None:
        """Use the prepared version no more."""
        self._discarded = (await _read(self._client)).latest_version

    async def close(self) -> None:
        """Give connection and lock back."""
        await self._client.close()
        self._lock.release()

    def _handle(self, key: TransitKey, version: int) -> VaultTransitAnima:
        pinned = TransitVersion(self._client, version, _public_key(key, version))
        return VaultTransitAnima(self._client, pinned, clock=self._clock, observer=None, exportable=key.exportable)


async def _read(client: VaultClient) -> TransitKey:
    key = await client.read_key()
    if key.type != KEY_TYPE:
        raise UnsupportedOperationError(f"The Vault key is of type {key.type}; an identity's is {KEY_TYPE}.")
    return key


def _version_of(key: TransitKey, did: str | None, settings: VaultSettings) -> int:
    """The version that is `did`, or the newest one."""
    if did is None:
        return key.latest_version
    fitting = [version for version in key.public_keys if did_key_of(_public_key(key, version)).did == did]
    if not fitting:
        raise KeyNotFoundError(
            f"No version of the Vault key {settings.key_name} is the identity's.",
            next_step="Check namespace and name of the key.",
            details={"did": did, "versions": len(key.public_keys)},
        )
    if len(fitting) > 1:
        raise AmbiguousKeyError(f"Several versions of the Vault key {settings.key_name} are the identity's.")
    return fitting[0]


def _public_key(key: TransitKey, version: int) -> bytes:
    pem = key.public_keys.get(version)
    if pem is None:
        raise KeyNotFoundError(f"Vault does not show version {version} of the key.")
    try:
        loaded = load_pem_public_key(pem.encode())
    except ValueError:
        raise CustodyProtocolError("Vault's public key can't be read.") from None
    if not isinstance(loaded, ec.EllipticCurvePublicKey) or not isinstance(loaded.curve, ec.SECP256R1):
        raise CustodyProtocolError("Vault's public key is not of the curve P-256.")
    return loaded.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
