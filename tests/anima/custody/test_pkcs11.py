"""Keys in PKCS#11 tokens, on a real SoftHSM: what is refused before a key is used, and what happens when a token fails."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from life.anima.custody.credentials import Credential, CredentialFile
from life.anima.custody.errors import KeyNotProtectedError, TokenRemovedError
from life.anima.custody.pkcs11 import KeyCurve, Pkcs11Token, TokenAddress
from life.anima.custody.pkcs11_thread import ModuleThread, explain
from life.anima.errors import (
    AmbiguousKeyError,
    CustodyAuthFailedError,
    CustodyInputError,
    CustodyLockedError,
    CustodyTimeoutError,
    CustodyUnavailableError,
    KeyNotFoundError,
    StaleHandleError,
    UnsupportedOperationError,
)
from life.crypto import p256, secp256k1
from tests.harness.softhsm import PIN, SoftHsm

DIGEST = hashlib.sha256(b"a message").digest()


def address(token: SoftHsm, **changes: object) -> TokenAddress:
    """Where the test's token is."""
    return TokenAddress(**{"module": token.module, "label": token.label, **changes})  # type: ignore[arg-type]


def pin(text: str = PIN) -> Credential:
    """A PIN."""
    return Credential(bytearray(text.encode()))


@asynccontextmanager
async def opened(token: SoftHsm) -> AsyncIterator[Pkcs11Token]:
    """The token, logged in to."""
    handle = await Pkcs11Token.open(address(token), pin())
    try:
        yield handle
    finally:
        await handle.close()


pytestmark = pytest.mark.part("softhsm")


@pytest.mark.parametrize("curve", list(KeyCurve))
async def test_keys_are_made_inside_and_sign(softhsm: SoftHsm, curve: KeyCurve) -> None:
    """A key made on the token is found by its label in a later session, and its signatures verify."""
    async with opened(softhsm) as token:
        made = await token.make_key("a-key", curve)
    async with opened(softhsm) as token:
        key = await token.find_key("a-key", curve)
        signature = await key.sign_digest(DIGEST)
    assert key.public_key == made.public_key
    if curve is KeyCurve.P256:
        p256.P256PublicKey(key.public_key).verify_digest(DIGEST, signature)
    else:
        secp256k1.verify(DIGEST, signature, key.public_key, allow_high_s=True)


async def test_the_private_key_cannot_be_read(softhsm: SoftHsm) -> None:
    """The token itself refuses its value, and says that it never gave it (AN-TPM-2)."""
    import pkcs11

    async with opened(softhsm) as token:
        await token.make_key("a-key", KeyCurve.P256)
        session = token._module.logins[token._key].session
        private = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label="a-key")
        with pytest.raises(pkcs11.exceptions.AttributeSensitive):
            _ = private[pkcs11.Attribute.VALUE]
        assert private[pkcs11.Attribute.NEVER_EXTRACTABLE] is True
        assert private[pkcs11.Attribute.LOCAL] is True


@pytest.mark.parametrize("weakness", ["extractable", "imported"])
async def test_a_key_that_is_not_guarded_is_not_used(softhsm: SoftHsm, weakness: str) -> None:
    """A key that may leave the token, or once was outside of it, is refused with its attribute's name (AN-TPM-2)."""
    from pkcs11 import Attribute, KeyType, ObjectClass

    async with opened(softhsm) as token:
        session = token._module.logins[token._key].session
        if weakness == "extractable":
            domain = session.create_domain_parameters(
                KeyType.EC, {Attribute.EC_PARAMS: KeyCurve.P256.value}, local=True
            )
            domain.generate_keypair(store=True, label="weak", id=b"1", private_template={Attribute.EXTRACTABLE: True})
        else:
            point = p256.decompress(p256.load_private_key(bytearray(b"\1" * 32)).public_key)
            common = {Attribute.KEY_TYPE: KeyType.EC, Attribute.LABEL: "weak", Attribute.TOKEN: True}
            common |= {Attribute.EC_PARAMS: KeyCurve.P256.value, Attribute.ID: b"1"}
            private = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.VALUE: b"\1" * 32, Attribute.SIGN: True}
            guarded = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False, Attribute.PRIVATE: True}
            session.create_object(common | private | guarded)
            public = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.EC_POINT: b"\x04\x41" + point}
            session.create_object(common | public)
        with pytest.raises(KeyNotProtectedError) as refusal:
            await token.find_key("weak", KeyCurve.P256)
        assert refusal.value.details["attribute"] in ("EXTRACTABLE", "ALWAYS_SENSITIVE", "LOCAL")


async def test_a_public_key_that_does_not_fit_is_noticed(softhsm: SoftHsm) -> None:
    """Whoever can write public objects can't give the identity another name: the key signs a probe first."""
    from pkcs11 import Attribute, KeyType, ObjectClass

    async with opened(softhsm) as token:
        made = await token.make_key("a-key", KeyCurve.P256)
        session = token._module.logins[token._key].session
        own = session.get_key(object_class=ObjectClass.PUBLIC_KEY, label="a-key")
        identifier = bytes(own[Attribute.ID])
        own.destroy()
        foreign = p256.decompress(p256.load_private_key(bytearray(b"\2" * 32)).public_key)
        session.create_object(
            {
                Attribute.CLASS: ObjectClass.PUBLIC_KEY,
                Attribute.KEY_TYPE: KeyType.EC,
                Attribute.LABEL: "a-key",
                Attribute.ID: identifier,
                Attribute.TOKEN: True,
                Attribute.EC_PARAMS: KeyCurve.P256.value,
                Attribute.EC_POINT: b"\x04\x41" + foreign,
            }
        )
        with pytest.raises(Exception, match="does not fit its public key") as refusal:
            await token.find_key("a-key", KeyCurve.P256)
        assert refusal.value.code == "custody.bad_signature"  # type: ignore[attr-defined]
        assert made.public_key not in {pair.public_key for pair in await token.key_pairs(KeyCurve.P256)}


async def test_missing_and_repeated_labels(softhsm: SoftHsm) -> None:
    """No such key, and a label that is taken, are errors with their own codes; nothing is made over something else."""
    async with opened(softhsm) as token:
        with pytest.raises(KeyNotFoundError):
            await token.find_key("a-key", KeyCurve.P256)
        await token.make_key("a-key", KeyCurve.P256)
        with pytest.raises(KeyNotFoundError):
            await token.find_key("a-key", KeyCurve.SECP256K1)
        with pytest.raises(AmbiguousKeyError):
            await token.make_key("a-key", KeyCurve.P256)
        for label in ("", "x" * 65, "ü", "a\nb"):
            with pytest.raises(CustodyInputError):
                await token.make_key(label, KeyCurve.P256)


async def test_a_destroyed_key_is_gone(softhsm: SoftHsm) -> None:
    """Neither half is left, and destroying again is fine."""
    async with opened(softhsm) as token:
        key = await token.make_key("a-key", KeyCurve.P256)
        await token.destroy_key(key.pair)
        await token.destroy_key(key.pair)
        assert await token.key_pairs(KeyCurve.P256) == []
        with pytest.raises(StaleHandleError):
            await key.sign_digest(DIGEST)


async def test_a_wrong_pin_is_tried_once(softhsm: SoftHsm) -> None:
    """A wrong PIN is refused with a sentence that does not contain it, and leaves nothing open behind (AN-TPM-3)."""
    with pytest.raises(CustodyAuthFailedError) as refusal:
        await Pkcs11Token.open(address(softhsm), pin("wrong-pin-9"))
    assert "wrong-pin-9" not in repr((refusal.value, refusal.value.details, refusal.value.next_step))
    async with opened(softhsm) as token:
        await token.make_key("a-key", KeyCurve.P256)
        with pytest.raises(CustodyAuthFailedError):  # the token is open already; that alone lets nobody in
            await Pkcs11Token.open(address(softhsm), pin("wrong-pin-9"))


async def test_a_pin_that_is_refused_later_is_not_repeated(softhsm: SoftHsm) -> None:
    """The PIN changed while we were logged in: one attempt when the session is opened anew, then the refusal is kept."""
    async with opened(softhsm) as token:
        key = await token.make_key("a-key", KeyCurve.P256)
        login = token._module.logins[token._key]
        login.session.close()
        login.source = pin("changed")
        for _ in range(5):
            with pytest.raises(CustodyAuthFailedError):
                await key.sign_digest(DIGEST)
        assert login.refused is not None
        login.source = pin()
        with pytest.raises(CustodyAuthFailedError):
            await key.sign_digest(DIGEST)
    async with opened(softhsm) as token:
        assert len(await (await token.find_key("a-key", KeyCurve.P256)).sign_digest(DIGEST)) == 64


async def test_a_lost_session_is_opened_again(softhsm: SoftHsm) -> None:
    """A session that somebody else ended costs nothing: one new login, and the signature comes (AN-TPM-5)."""
    async with opened(softhsm) as token:
        key = await token.make_key("a-key", KeyCurve.P256)
        token._module.logins[token._key].session.close()
        p256.P256PublicKey(key.public_key).verify_digest(DIGEST, await key.sign_digest(DIGEST))


async def test_a_removed_token_is_said_so_and_comes_back(softhsm: SoftHsm) -> None:
    """Pulled out in the middle: an error that names it; plugged in again: the same handle signs."""
    async with opened(softhsm) as token:
        key = await token.make_key("a-key", KeyCurve.P256)
        softhsm.remove()
        for _ in range(2):
            with pytest.raises(TokenRemovedError, match="The token anima is not there"):
                await key.sign_digest(DIGEST)
        softhsm.put_back()
        p256.P256PublicKey(key.public_key).verify_digest(DIGEST, await key.sign_digest(DIGEST))


async def test_a_token_of_another_name_is_not_taken(softhsm: SoftHsm) -> None:
    """The label, or the serial number, must fit; the slot plays no role (AN-TPM-1)."""
    for wrong in ({"label": "other"}, {"serial": "0000"}, {"label": None, "serial": "0000"}):
        with pytest.raises(TokenRemovedError):
            await Pkcs11Token.open(address(softhsm, **wrong), pin())
    with pytest.raises(CustodyInputError):
        TokenAddress(module=softhsm.module)
    async with opened(softhsm) as token:
        serial = token._key[1].decode()
        second = await Pkcs11Token.open(address(softhsm, label=None, serial=serial), pin())
        await second.close()


async def test_a_module_that_is_not_there(tmp_path: Path) -> None:
    """A missing module is one sentence and a next step; a file that is no module is, too."""
    with pytest.raises(CustodyUnavailableError) as refusal:
        await Pkcs11Token.open(TokenAddress(module=tmp_path / "none.so", label="x"), pin())
    assert refusal.value.next_step is not None
    (tmp_path / "text.so").write_text("no module")
    with pytest.raises(CustodyUnavailableError):
        await Pkcs11Token.open(TokenAddress(module=tmp_path / "text.so", label="x"), pin())


async def test_holders_share_one_login(softhsm: SoftHsm) -> None:
    """A login counts for the whole process; the first holder that closes does not log the others out."""
    async with opened(softhsm) as token:
        key = await token.make_key("a-key", KeyCurve.P256)
        second = await Pkcs11Token.open(address(softhsm), pin())
        await second.close()
        await second.close()
        await key.sign_digest(DIGEST)
        with pytest.raises(StaleHandleError):
            await second.key_pairs(KeyCurve.P256)
    with pytest.raises(StaleHandleError):
        await key.sign_digest(DIGEST)


async def test_calls_at_once(softhsm: SoftHsm) -> None:
    """Many signatures asked for at the same time all come, each over its own digest."""
    async with opened(softhsm) as token:
        key = await token.make_key("a-key", KeyCurve.P256)
        public = p256.P256PublicKey(key.public_key)
        digests = [hashlib.sha256(bytes([number])).digest() for number in range(64)]
        for digest, signature in zip(digests, await asyncio.gather(*map(key.sign_digest, digests)), strict=True):
            public.verify_digest(digest, signature)


async def test_a_caller_that_gives_up_leaves_no_login(softhsm: SoftHsm) -> None:
    """Cancelled while the token is being opened: the login that comes too late is ended by itself."""
    opening = asyncio.ensure_future(Pkcs11Token.open(address(softhsm), pin()))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    async with opened(softhsm) as token:
        module = token._module
        async with asyncio.timeout(10):
            while [login.holders for login in module.logins.values()] != [1]:
                await asyncio.sleep(0.001)
    assert module.logins == {}


async def test_a_call_that_hangs_does_not_hang_the_rest() -> None:
    """After a missed deadline others are refused at once; when the call ends after all, work goes on."""
    thread = ModuleThread("test")
    go_on = threading.Event()
    undone: list[int] = []
    with pytest.raises(CustodyTimeoutError):
        await thread.call(lambda: go_on.wait(30) and 7, timeout_s=0.05, undo=undone.append)
    with pytest.raises(CustodyUnavailableError):
        await thread.call(lambda: 1, timeout_s=5)
    go_on.set()
    while thread._overdue.is_set():
        await asyncio.sleep(0.001)
    assert await thread.call(lambda: 2, timeout_s=5) == 2
    assert undone == [7]
    thread.end()


FORKING = """
import asyncio, os, sys, warnings
warnings.simplefilter("ignore")
from life.anima.custody.pkcs11_thread import ModuleThread
from life.anima.errors import StaleHandleError
thread = ModuleThread("test")
pid = os.fork()
try:
    result = asyncio.run(thread.call(lambda: 7, timeout_s=5))
except StaleHandleError:
    result = 8
if pid == 0:
    os._exit(result)
print(result, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_a_forked_process_is_told() -> None:
    """The thread of a module does not live in a child; calling there is an error, not a wait without end."""
    ended = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout.split() == ["7", "8"]


def test_return_codes_have_a_meaning() -> None:
    """Every return code that the binding knows becomes one of our errors, without details of the caller's secrets."""
    import pkcs11.exceptions as known

    expected: dict[str, type[Exception]] = {
        "PinIncorrect": CustodyAuthFailedError,
        "PinLocked": CustodyLockedError,
        "DeviceRemoved": TokenRemovedError,
        "TokenNotPresent": TokenRemovedError,
        "MechanismInvalid": UnsupportedOperationError,
        "DeviceError": CustodyUnavailableError,
        "GeneralError": CustodyUnavailableError,
        "NoSuchKey": KeyNotFoundError,
    }
    classes = [value for value in vars(known).values() if isinstance(value, type) and issubclass(value, Exception)]
    for error in classes:
        explained = explain(error("secret text"), token="the token anima")
        assert isinstance(explained, expected.get(error.__name__, Exception))
        assert "secret text" not in str(explained)


async def test_credentials_come_from_files_and_descriptors(
    tmp_path: Path, softhsm: SoftHsm, openable: Callable[[str], int]
) -> None:
    """A private file and an open descriptor give the PIN, without the line end that editors leave."""
    file = tmp_path / "pin"
    file.write_text(PIN + "\n")
    file.chmod(0o600)
    for source in (CredentialFile(file), Credential.from_descriptor(openable(PIN + "\n"))):
        assert PIN not in repr(source)
        await (await Pkcs11Token.open(address(softhsm), source)).close()


@pytest.fixture
def openable(tmp_path: Path) -> Callable[[str], int]:
    """Gives a descriptor from which a text can be read."""
    import os

    def descriptor(text: str) -> int:
        reading, writing = os.pipe()
        os.write(writing, text.encode())
        os.close(writing)
        return reading

    return descriptor
