"""TpmAnima: the identity key in a TPM or another PKCS#11 token, where it was made and stays (anima.md §13.3).

A TPM has no secp256k1, so its identity pays with a wallet that `split.SplitAnima` puts beside it. A token that knows the
curve (SoftHSM, many HSMs) may hold the wallet, too: `wallet_label` (AN-TPM-7).

The first identity key has the label `<label>`; rotation makes `<label>-rot-1`, `<label>-rot-2` and so on. Which of them is
the identity's is never decided by a label: `open` takes the key whose public half is the DID that the journal names. A
pair with a higher number than that one is what an interrupted rotation left, and the next rotation takes it.

Errors: those of `pkcs11.Pkcs11Token`, KeyNotFoundError when no key is the DID's, and those of every handle.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from life.aios.ports.clock import Clock
from life.anima.chain import RotationLink
from life.anima.custody.credentials import CredentialSource
from life.anima.custody.external_keys import ExternalKeysAnima, did_key_of
from life.anima.custody.pkcs11 import KeyCurve, KeyPair, Pkcs11Token, TokenAddress, TokenKey
from life.anima.custody.rotation_lock import RotationLock
from life.anima.custody.wallet_rules import CustodyObserver, WalletRules
from life.anima.errors import AmbiguousKeyError, CustodyInputError, KeyNotFoundError, UnsupportedOperationError

DEFAULT_LABEL: Final = "anima-auth"
_DEFAULT_RULES: Final = WalletRules()
_ROTATED: Final = "-rot-"
_NUMBER: Final = re.compile(_ROTATED + r"([1-9][0-9]{0,5})")


@dataclass(frozen=True, kw_only=True)
class TpmSettings:
    """Which token, and which keys on it."""

    token: TokenAddress
    label: str | None = DEFAULT_LABEL
    """Label of the first identity key; None for a token that holds only a wallet."""
    wallet_label: str | None = None
    """Label of a secp256k1 key; None when the token holds no wallet, as no TPM does."""

    def __post_init__(self) -> None:
        if self.label is None and self.wallet_label is None:
            raise CustodyInputError("A token is used for an identity key, a wallet key, or both; name a label.")


class TpmAnima(ExternalKeysAnima):
    """The Custody port over a PKCS#11 token. Make one with `open` or `enroll`; close it."""

    def __init__(
        self,
        token: Pkcs11Token,
        auth: TokenKey | None,
        wallet: TokenKey | None,
        *,
        clock: Clock,
        rules: WalletRules,
        observer: CustodyObserver | None,
    ) -> None:
        """Takes over `token`. Callers outside this module use the constructors below."""
        super().__init__(auth, wallet, backend="tpm", clock=clock, rules=rules, observer=observer)
        self._token = token

    @classmethod
    async def open(
        cls,
        settings: TpmSettings,
        pin: CredentialSource,
        *,
        clock: Clock,
        did: str | None = None,
        rules: WalletRules = _DEFAULT_RULES,
        observer: CustodyObserver | None = None,
    ) -> TpmAnima:
        """The handle of the key that is `did`; without one, of the key that has just the label. Nothing is made."""
        token = await Pkcs11Token.open(settings.token, pin)
        try:
            auth = None if settings.label is None else await _auth_key(token, settings.label, did)
            wallet = None
            if settings.wallet_label is not None:
                wallet = await token.find_key(settings.wallet_label, KeyCurve.SECP256K1)
            return cls(token, auth, wallet, clock=clock, rules=rules, observer=observer)
        except BaseException:
            await token.close()
            raise

    @classmethod
    async def enroll(
        cls,
        settings: TpmSettings,
        pin: CredentialSource,
        *,
        clock: Clock,
        rules: WalletRules = _DEFAULT_RULES,
        observer: CustodyObserver | None = None,
    ) -> TpmAnima:
        """`open`, after making the keys of `settings` that the token does not have yet. Interrupted, it is run again.

        UnsupportedOperationError for a wallet on a token without secp256k1.
        """
        token = await Pkcs11Token.open(settings.token, pin)
        try:
            for label, curve in ((settings.wallet_label, KeyCurve.SECP256K1), (settings.label, KeyCurve.P256)):
                if label is not None and not await _has_key(token, label, curve):
                    await token.make_key(label, curve)
            return await cls.open(settings, pin, clock=clock, rules=rules, observer=observer)
        finally:
            await token.close()

    async def close(self) -> None:
        """Give the token back. Every later signing call is a StaleHandleError. May be called again."""
        await super().close()
        await self._token.close()


class TpmRotator:
    """How a token's identity key is replaced (`life.anima.rotation.KeyRotator`). Make one with `open`; close it.

    The new pair gets the next number and lies on the token from then on; the journal decides whether it counts. The switch
    destroys the old private key inside the token.
    """

    def __init__(
        self, token: Pkcs11Token, lock: RotationLock, *, settings: TpmSettings, did: str, clock: Clock
    ) -> None:
        """Takes over token and lock. Callers use `open`."""
        self._token = token
        self._lock = lock
        self._settings = settings
        self._base = settings.label or ""
        self._did = did
        self._clock = clock
        self._prepared: TpmAnima | None = None

    @classmethod
    async def open(
        cls, settings: TpmSettings, pin: CredentialSource, *, did: str, folder: Path, clock: Clock
    ) -> TpmRotator:
        """The rotator of the identity `did`, whose folder is locked meanwhile. ConflictError while another one works."""
        if settings.label is None:
            raise UnsupportedOperationError("This token holds no identity key to rotate.")
        lock = RotationLock(folder)
        try:
            token = await Pkcs11Token.open(settings.token, pin)
        except BaseException:
            lock.release()
            raise
        return cls(token, lock, settings=settings, did=did, clock=clock)

    async def prepared(self) -> TpmAnima | None:
        """The handle of the newest pair that is younger than the identity's key."""
        later = await self._later()
        return await self._handle(later[-1]) if later else None

    async def prepare(self) -> TpmAnima:
        """A handle of a new pair, or of the one that is prepared already."""
        prepared = await self.prepared()
        if prepared is not None:
            return prepared
        newest = max((_number(pair.label, self._base) or 0 for pair in await self._pairs()), default=0)
        made = await self._token.make_key(f"{self._base}{_ROTATED}{newest + 1}", KeyCurve.P256)
        return await self._handle(made.pair)

    async def commit(self, links: tuple[RotationLink, ...]) -> None:
        """Destroy every older private key, once the new one has signed a probe. `links` names the new DID."""
        new_did = links[-1].new_did
        pairs = await self._pairs()
        new = next((pair for pair in pairs if _did(pair) == new_did), None)
        if new is None:
            raise KeyNotFoundError(f"The new key is not on {self._token.address}.", details={"did": new_did})
        await self._token.use_key(new)
        for pair in pairs:
            if (_number(pair.label, self._base) or 0) < (_number(new.label, self._base) or 0):
                await self._token.destroy_key(pair)
        self._did = new_did

    async def discard(self) -> None:
        """Destroy every pair that is younger than the identity's key."""
        await self._forget()
        for pair in await self._later():
            await self._token.destroy_key(pair)

    async def close(self) -> None:
        """Give token and lock back."""
        await self._forget()
        await self._token.close()
        self._lock.release()

    async def _pairs(self) -> list[KeyPair]:
        """The identity's pairs, in the order in which they were made."""
        pairs = await self._token.key_pairs(KeyCurve.P256, prefix=self._base)
        own = [pair for pair in pairs if pair.label == self._base or _number(pair.label, self._base)]
        return sorted(own, key=lambda pair: _number(pair.label, self._base) or 0)

    async def _later(self) -> list[KeyPair]:
        pairs = await self._pairs()
        own = [number for number, pair in enumerate(pairs) if _did(pair) == self._did]
        if not own:
            raise KeyNotFoundError(f"The identity's key is not on {self._token.address}.", details={"did": self._did})
        return pairs[own[0] + 1 :]

    async def _handle(self, pair: KeyPair) -> TpmAnima:
        if self._prepared is None or self._prepared.capabilities().did != _did(pair):
            await self._forget()
            token = await self._token.again()
            self._prepared = TpmAnima(
                token, await token.use_key(pair), None, clock=self._clock, rules=_DEFAULT_RULES, observer=None
            )
        return self._prepared

    async def _forget(self) -> None:
        handle, self._prepared = self._prepared, None
        if handle is not None:
            await handle.close()


async def _auth_key(token: Pkcs11Token, label: str, did: str | None) -> TokenKey:
    if did is None:
        return await token.find_key(label, KeyCurve.P256)
    pairs = await token.key_pairs(KeyCurve.P256, prefix=label)
    fitting = [pair for pair in pairs if _did(pair) == did and (pair.label == label or _number(pair.label, label))]
    if not fitting:
        raise KeyNotFoundError(
            f"None of the {len(pairs)} keys labelled {label} on {token.address} is the identity's.",
            next_step="Check that this is the token the identity was made with.",
            details={"did": did},
        )
    if len(fitting) > 1:
        raise AmbiguousKeyError(f"Several keys on {token.address} are the identity's.")
    return await token.use_key(fitting[0])


async def _has_key(token: Pkcs11Token, label: str, curve: KeyCurve) -> bool:
    return any(pair.label == label for pair in await token.key_pairs(curve, prefix=label))


def _number(label: str, base: str) -> int | None:
    """The number of a rotated key's label, None for any other label."""
    found = _NUMBER.fullmatch(label.removeprefix(base)) if label.startswith(base) else None
    return int(found[1]) if found else None


def _did(pair: KeyPair) -> str:
    return did_key_of(pair.public_key).did
