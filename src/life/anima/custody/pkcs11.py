"""Keys in a PKCS#11 token: a TPM, a hardware security module, SoftHSM (anima.md §13.3; PKCS#11 2.40).

A token is named by its label or serial number, never by its slot, which software tokens renumber (AN-TPM-1). Keys are
named by label; which of several keys is an identity's is decided by its public key, not by a file. A private key is used
only when the token says that it is sensitive, was never extractable and was made inside (AN-TPM-2), and only after it has
signed a probe that its public key verifies.

A wrong PIN is tried once (AN-TPM-3): the refusal is remembered and given to every later call. A lost session is opened
once more, with the same PIN; a token that is gone is an error, and the next call looks for it again (AN-TPM-5).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from life.aios.errors import CustodyError
from life.anima.custody import pkcs11_session as on_thread
from life.anima.custody.credentials import CredentialSource
from life.anima.custody.pkcs11_session import KeyCurve, KeyPair, Login, Module, TokenAddress, sentence
from life.anima.custody.pkcs11_thread import load_binding
from life.anima.custody.typed_requests import probe_digest
from life.anima.errors import (
    AmbiguousKeyError,
    BadSignatureError,
    CustodyInputError,
    CustodyProtocolError,
    CustodyUnavailableError,
    KeyNotFoundError,
    StaleHandleError,
)

__all__ = ["KeyCurve", "KeyPair", "Pkcs11Token", "TokenAddress", "TokenKey"]

MAX_LABEL_CHARACTERS: Final = 64

_Result = TypeVar("_Result")
_modules: dict[Path, Module] = {}
# A module has one state for the whole process, so this table has, too.


class Pkcs11Token:
    """A token that was opened with its PIN. Several may be open for one token; the login ends with the last."""

    def __init__(self, module: Module, key: tuple[str, bytes], address: TokenAddress) -> None:
        """Made by `open`."""
        self._module = module
        self._key = key
        self._closed = False
        self.address = address

    @classmethod
    async def open(cls, address: TokenAddress, pin: CredentialSource) -> Pkcs11Token:
        """Find the token and log in with `pin`, once.

        MissingExtraError without python-pkcs11; CustodyUnavailableError when the module can't be loaded; TokenRemovedError
        without such a token; AmbiguousKeyError when two fit; CustodyAuthFailedError for a wrong PIN; CustodyLockedError
        when the token is locked, or takes only one more PIN.
        """
        binding = load_binding()
        path = address.module.resolve()
        if not path.is_file():
            raise CustodyUnavailableError(
                f"There is no PKCS#11 module {path}.",
                next_step="Install the package that brings it (docs/custody/tpm.md names them).",
            )
        if path not in _modules:
            _modules[path] = Module(path)
        module = _modules[path]
        key = await module.thread.call(
            lambda: on_thread.log_in(module, binding, address, pin),
            timeout_s=address.timeout_s,
            undo=lambda unwanted: on_thread.log_out(module, unwanted),
        )
        return cls(module, key, address)

    async def again(self) -> Pkcs11Token:
        """Another holder of the same login, to be closed by itself."""
        await self._run(on_thread.hold)
        return Pkcs11Token(self._module, self._key, self.address)

    async def close(self) -> None:
        """Give the token back; the last one logs out. May be called again."""
        if self._closed:
            return
        self._closed = True
        self._module.thread.post(lambda: on_thread.log_out(self._module, self._key))
        try:
            await self._module.thread.call(lambda: None, timeout_s=self.address.timeout_s)
        except CustodyError:  # it hangs in an earlier call; the logout stands in line behind that
            pass

    async def key_pairs(self, curve: KeyCurve, *, prefix: str = "") -> list[KeyPair]:
        """The key pairs of a curve whose label begins with `prefix`, in the order of their labels."""
        return await self._run(lambda login: on_thread.key_pairs(login, curve, prefix))

    async def use_key(self, pair: KeyPair) -> TokenKey:
        """The private key of `pair`, checked: guarded by the token, and signing for this public key.

        KeyNotFoundError, AmbiguousKeyError, KeyNotProtectedError, BadSignatureError.
        """
        key = TokenKey(self, pair)
        await self._run(lambda login: on_thread.check_protection(login, pair))
        digest = probe_digest("open")
        signature = await key.sign_digest(digest)
        if not on_thread.verifies(pair, digest, signature):
            raise BadSignatureError(f"The key {pair.label} of {self.address} does not fit its public key.")
        return key

    async def find_key(self, label: str, curve: KeyCurve) -> TokenKey:
        """The one key of a curve with exactly this label. Errors as `use_key`."""
        pairs = [pair for pair in await self.key_pairs(curve, prefix=label) if pair.label == label]
        if not pairs:
            raise KeyNotFoundError(f"{sentence(self.address)} has no {curve.name} key labelled {label}.")
        if len(pairs) > 1:
            raise AmbiguousKeyError(f"{sentence(self.address)} has {len(pairs)} {curve.name} keys labelled {label}.")
        return await self.use_key(pairs[0])

    async def make_key(self, label: str, curve: KeyCurve) -> TokenKey:
        """Make a key pair inside the token. AmbiguousKeyError when the label is taken; UnsupportedOperationError when
        the token does not know the curve."""
        if not 0 < len(label) <= MAX_LABEL_CHARACTERS or not label.isascii() or not label.isprintable():
            raise CustodyInputError(f"A key's label is 1 to {MAX_LABEL_CHARACTERS} printable ASCII characters.")
        pair = await self._run(lambda login: on_thread.make(login, label, curve))
        return await self.use_key(pair)

    async def destroy_key(self, pair: KeyPair) -> None:
        """Destroy the private key, then the public one. What is already gone is fine."""
        await self._run(lambda login: on_thread.destroy(login, pair))

    async def sign(self, pair: KeyPair, digest: bytes) -> bytes:
        """64 bytes r‖s over a digest, by CKM_ECDSA. Used by `TokenKey`."""
        return await self._run(lambda login: on_thread.sign(login, pair, digest))

    async def _run(self, work: Callable[[Login], _Result]) -> _Result:
        if self._closed:
            raise StaleHandleError("The token was closed.", next_step="Open it again.")
        module, key = self._module, self._key

        return await module.thread.call(
            lambda: on_thread.with_session(module, module.logins[key], work), timeout_s=self.address.timeout_s
        )

    def __repr__(self) -> str:
        return f"<Pkcs11Token {self.address}{', closed' if self._closed else ''}>"


class TokenKey:
    """A private key on a token, as `ExternalKey`."""

    __slots__ = ("_token", "pair", "public_key")

    def __init__(self, token: Pkcs11Token, pair: KeyPair) -> None:
        self._token = token
        self.pair = pair
        self.public_key = pair.public_key

    async def sign_digest(self, digest: bytes) -> bytes:
        """64 bytes r‖s over a digest; s as the device made it. StaleHandleError when the key was destroyed meanwhile."""
        try:
            signature = await self._token.sign(self.pair, digest)
        except KeyNotFoundError:
            raise StaleHandleError(
                f"The key {self.pair.label} of {self._token.address} was destroyed.",
                next_step="Open the identity again.",
            ) from None
        if len(signature) != 64:
            raise CustodyProtocolError(f"{sentence(self._token.address)} gave {len(signature)} bytes, not 64.")
        return signature

    def __repr__(self) -> str:
        return f"<TokenKey {self.pair.label} of {self._token.address}>"
