"""What is done on a PKCS#11 module's thread: sessions, logins, objects (PKCS#11 2.40; anima.md §13.3).

Every function here blocks, and runs on the one thread of its module (`pkcs11_thread`). Errors of the module come out as
CustodyError; the sessions' own bookkeeping is repaired before they do.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from life.aios.errors import CustodyError
from life.anima.custody.credentials import CredentialSource
from life.anima.custody.errors import KeyNotProtectedError, TokenRemovedError
from life.anima.custody.pkcs11_thread import LOST_SESSION, ModuleThread, explain, load_binding
from life.anima.errors import (
    AmbiguousKeyError,
    CustodyAuthFailedError,
    CustodyInputError,
    CustodyLockedError,
    CustodyProtocolError,
    CustodyUnavailableError,
    KeyNotFoundError,
)
from life.crypto import p256, secp256k1
from life.crypto.errors import CryptoError, InvalidKeyError, InvalidSignatureError

if TYPE_CHECKING:
    from types import ModuleType

_Result = TypeVar("_Result")

TIMEOUT_S: Final = 10.0


class KeyCurve(Enum):
    """The curves of an identity, as `CKA_EC_PARAMS` names them: DER object identifiers."""

    P256 = bytes.fromhex("06082a8648ce3d030107")
    SECP256K1 = bytes.fromhex("06052b8104000a")


@dataclass(frozen=True, kw_only=True)
class TokenAddress:
    """Which token: the module, and the token's label, its serial number (as the module prints it), or both."""

    module: Path
    label: str | None = None
    serial: str | None = None
    timeout_s: float = TIMEOUT_S
    """How long one call may take."""

    def __post_init__(self) -> None:
        if not self.label and not self.serial:
            raise CustodyInputError("A token is named by its label or its serial number.")

    def __str__(self) -> str:
        return f"the token {self.label or self.serial}"


class KeyPair(NamedTuple):
    """A key pair on a token. `public_key` is 33 bytes."""

    label: str
    curve: KeyCurve
    public_key: bytes


@dataclass
class Login:
    """One token that this process is logged in to. Touched only by the module's thread."""

    address: TokenAddress
    source: CredentialSource
    session: Any
    holders: int = 1
    refused: CustodyError | None = None
    handles: dict[KeyPair, Any] = field(default_factory=dict)


class Module:
    """One PKCS#11 module of this process. Everything but `thread` is touched only by that thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.thread = ModuleThread(f"pkcs11-{path.name}")
        self.library: Any = None
        self.logins: dict[tuple[str, bytes], Login] = {}


def log_in(module: Module, binding: ModuleType, address: TokenAddress, source: CredentialSource) -> tuple[str, bytes]:
    """Open a session with login, or join the one that exists, if the PIN is the same."""
    try:
        if module.library is None:
            module.library = binding.lib(str(module.path))
        token = _find_token(module, address)
        key = (token.label, bytes(token.serial))
        login = module.logins.get(key)
        if login is None or login.refused is not None:
            session = _open_session(token, address, source)
            module.logins[key] = Login(address, source, session, holders=1 + (login.holders if login else 0))
        else:
            if not hmac.compare_digest(login.source.reveal().encode(), source.reveal().encode()):
                raise CustodyAuthFailedError(f"The PIN is not the one that {address} was opened with.")
            login.holders += 1
        return key
    except CustodyError:
        _finalize_if_idle(module)
        raise
    except load_binding().PKCS11Error as error:
        _finalize_if_idle(module)
        raise explain(error, token=str(address)) from None


def _find_token(module: Module, address: TokenAddress) -> Any:
    tokens = []
    for slot in module.library.get_slots(token_present=True):
        token = slot.get_token()
        if address.label in (None, token.label) and address.serial in (None, _serial_text(token)):
            tokens.append(token)
    if not tokens:
        raise TokenRemovedError(
            f"{sentence(address)} is not there.", next_step="Plug it in, or start the service behind it."
        )
    if len(tokens) > 1:
        raise AmbiguousKeyError(f"{len(tokens)} tokens are called {address.label}; name the serial number, too.")
    return tokens[0]


def _serial_text(token: Any) -> str:
    return bytes(token.serial).decode("ascii", errors="replace").strip()


def _open_session(token: Any, address: TokenAddress, source: CredentialSource) -> Any:
    """One attempt with the PIN, and none where it could be the last one."""
    flags = load_binding().TokenFlag
    if token.flags & flags.USER_PIN_LOCKED:
        raise CustodyLockedError(f"{sentence(address)} is locked.", next_step="Its security officer unlocks it.")
    if token.flags & flags.USER_PIN_FINAL_TRY:
        raise CustodyLockedError(
            f"{sentence(address)} locks itself at the next wrong PIN, so no PIN is tried.",
            next_step="Log in once by hand with the right PIN (`pkcs11-tool --login --list-objects`).",
        )
    return token.open(rw=True, user_pin=source.reveal(), attribute_mapper=_minimal_templates())


def _minimal_templates() -> Any:
    """Templates of a new key pair with nothing but what is meant: tpm2-pkcs11 refuses the usual extra attributes."""
    from pkcs11 import Attribute, ObjectClass
    from pkcs11.attributes import AttributeMapper

    class _Templates(AttributeMapper):
        def public_key_template(self, *, capabilities: Any, id_: Any, label: Any, store: bool) -> dict[Attribute, Any]:
            own = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.VERIFY: True}
            return {**own, Attribute.ID: id_, Attribute.LABEL: label, Attribute.TOKEN: True}

        def private_key_template(self, *, capabilities: Any, id_: Any, label: Any, store: bool) -> dict[Attribute, Any]:
            own = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.SIGN: True, Attribute.PRIVATE: True}
            guarded = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}
            return {**own, **guarded, Attribute.ID: id_, Attribute.LABEL: label, Attribute.TOKEN: True}

    return _Templates()


def hold(login: Login) -> None:
    """One more holder of a login."""
    login.holders += 1


def log_out(module: Module, key: tuple[str, bytes]) -> None:
    login = module.logins.get(key)
    if login is None:
        return
    login.holders -= 1
    if login.holders <= 0:
        del module.logins[key]
        _end_session(login)
        _finalize_if_idle(module)


def _end_session(login: Login) -> None:
    session, login.session = login.session, None
    login.handles.clear()
    if session is not None:
        try:
            session.close()
        except Exception:  # noqa: S110  (a session that is gone can't be closed; nothing is lost)
            pass


def _finalize_if_idle(module: Module) -> None:
    """Without a session nobody needs the module; the next one initialises it anew, with the settings of then."""
    if module.library is not None and all(login.session is None for login in module.logins.values()):
        try:
            module.library.finalize()
        except Exception:  # noqa: S110  (it was not initialised, or its device is gone)
            pass
        module.library = None


def with_session(module: Module, login: Login, work: Callable[[Login], _Result]) -> _Result:
    """Run `work`; when the session turns out to be gone, once more in a new one."""
    if login.refused is not None:
        raise login.refused
    fresh = login.session is None
    if fresh:
        _reopen(module, login)
    try:
        return work(login)
    except load_binding().PKCS11Error as error:
        failure = explain(error, token=str(login.address))
        if not isinstance(failure, CustodyUnavailableError):
            raise failure from None
        _end_session(login)  # whatever is wrong, the next call starts from a new session
        if fresh or type(error).__name__ not in LOST_SESSION:
            raise failure from None
    _reopen(module, login)
    try:
        return work(login)
    except load_binding().PKCS11Error as error:
        _end_session(login)
        raise explain(error, token=str(login.address)) from None


def _reopen(module: Module, login: Login) -> None:
    """A new session for a login whose session is gone. A PIN that is refused now is never tried again."""
    _finalize_if_idle(module)
    try:
        if module.library is None:
            module.library = load_binding().lib(str(module.path))
        login.session = _open_session(_find_token(module, login.address), login.address, login.source)
    except (CustodyError, load_binding().PKCS11Error) as error:
        failure = error if isinstance(error, CustodyError) else explain(error, token=str(login.address))
        if isinstance(failure, CustodyAuthFailedError | CustodyLockedError):
            login.refused = failure
        raise failure from None


def _objects(login: Login, **attributes: Any) -> list[Any]:
    """The objects with these attributes. Some modules find nothing on a token that is gone, so its presence is asked."""
    from pkcs11 import Attribute, PKCS11Error, SessionClosed

    try:
        login.session.token.slot.get_token()
    except PKCS11Error:
        raise SessionClosed from None
    return list(login.session.get_objects({Attribute[name]: value for name, value in attributes.items()}))


def key_pairs(login: Login, curve: KeyCurve, prefix: str) -> list[KeyPair]:
    from pkcs11 import Attribute, KeyType, ObjectClass

    pairs = []
    for public in _objects(login, CLASS=ObjectClass.PUBLIC_KEY, KEY_TYPE=KeyType.EC):
        label = public[Attribute.LABEL]
        if label.startswith(prefix) and bytes(public[Attribute.EC_PARAMS]) == curve.value:
            pairs.append(KeyPair(label, curve, _point(bytes(public[Attribute.EC_POINT]), curve)))
    return sorted(pairs, key=lambda pair: pair.label)


def _point(encoded: bytes, curve: KeyCurve) -> bytes:
    """The 33 bytes of a `CKA_EC_POINT`: 65 bytes, by the standard inside a DER octet string."""
    raw = encoded[2:] if len(encoded) == 67 and encoded[:2] == b"\x04\x41" else encoded
    try:
        return p256.compress(raw) if curve is KeyCurve.P256 else secp256k1.compress(raw)
    except InvalidKeyError as error:
        raise CustodyProtocolError(f"The token's public key is no point of its curve: {error}.") from None


def _private(login: Login, pair: KeyPair) -> Any:
    """The private object of a pair: of its label, and where several have it, of its id."""
    from pkcs11 import Attribute, KeyType, ObjectClass

    known = login.handles.get(pair)
    if known is not None:
        return known
    wanted = {"KEY_TYPE": KeyType.EC, "LABEL": pair.label}
    found = _objects(login, CLASS=ObjectClass.PRIVATE_KEY, **wanted)
    if len(found) > 1:
        ids = {
            bytes(public[Attribute.ID])
            for public in _objects(login, CLASS=ObjectClass.PUBLIC_KEY, **wanted)
            if _is(public, pair)
        }
        found = [private for private in found if bytes(private[Attribute.ID]) in ids]
    if not found:
        raise KeyNotFoundError(f"{sentence(login.address)} has no private key labelled {pair.label}.")
    if len(found) > 1:
        raise AmbiguousKeyError(f"{sentence(login.address)} has several private keys labelled {pair.label}.")
    login.handles[pair] = found[0]
    return found[0]


def _is(public: Any, pair: KeyPair) -> bool:
    from pkcs11 import Attribute

    curve = bytes(public[Attribute.EC_PARAMS])
    return curve == pair.curve.value and _point(bytes(public[Attribute.EC_POINT]), pair.curve) == pair.public_key


def check_protection(login: Login, pair: KeyPair) -> None:
    """KeyNotProtectedError unless the token keeps this key for itself, and always has (AN-TPM-2)."""
    from pkcs11 import Attribute

    private = _private(login, pair)
    expected = {
        Attribute.SENSITIVE: True,
        Attribute.ALWAYS_SENSITIVE: True,
        Attribute.EXTRACTABLE: False,
        Attribute.NEVER_EXTRACTABLE: True,
        Attribute.LOCAL: True,
    }
    for attribute, value in expected.items():
        if private[attribute] is not value:
            raise KeyNotProtectedError(
                f"The key {pair.label} of {login.address} is not used: its {attribute.name} is not {value}.",
                next_step="Make a key inside the token, and rotate to it.",
                details={"attribute": attribute.name},
            )


def sign(login: Login, pair: KeyPair, digest: bytes) -> bytes:
    from pkcs11 import Mechanism

    return bytes(_private(login, pair).sign(digest, mechanism=Mechanism.ECDSA))


def make(login: Login, label: str, curve: KeyCurve) -> KeyPair:
    from pkcs11 import Attribute, KeyType

    if _objects(login, LABEL=label):
        raise AmbiguousKeyError(f"{sentence(login.address)} already has a key labelled {label}.")
    domain = login.session.create_domain_parameters(KeyType.EC, {Attribute.EC_PARAMS: curve.value}, local=True)
    public, _ = domain.generate_keypair(store=True, label=label, id=login.session.generate_random(128))
    return KeyPair(label, curve, _point(bytes(public[Attribute.EC_POINT]), curve))


def destroy(login: Login, pair: KeyPair) -> None:
    from pkcs11 import KeyType, ObjectClass

    try:
        _private(login, pair).destroy()
    except KeyNotFoundError:
        pass
    login.handles.pop(pair, None)
    for public in _objects(login, CLASS=ObjectClass.PUBLIC_KEY, KEY_TYPE=KeyType.EC, LABEL=pair.label):
        if _is(public, pair):
            public.destroy()


def verifies(pair: KeyPair, digest: bytes, signature: bytes) -> bool:
    try:
        if pair.curve is KeyCurve.P256:
            p256.P256PublicKey(pair.public_key).verify_digest(digest, signature)
        else:
            secp256k1.verify(digest, signature, pair.public_key, allow_high_s=True)
    except (InvalidSignatureError, CryptoError):
        return False
    return True


def sentence(address: TokenAddress) -> str:
    text = str(address)
    return text[0].upper() + text[1:]
