"""Keys of model providers, sealed under the agent's custody.

    keys = ModelKeys(path, storage_key, environment, clock=clock, entropy=entropy)
    keys.store("anthropic", "sk-…")
    opener = keys.renewing(ProviderOpener(environment=keys.environment, …))

The file is `model-keys.json` in the data directory (mode 0600): per provider the day it was set and the key under
ChaCha20-Poly1305 (RFC 8439), with provider and day as associated data, so that no entry passes for another. The sealing key follows from
the agent's seed (`InProcessAnima.storage_key`): nothing has to be kept beside it, no rotation changes it, and whoever has the file
alone has nothing. An identity whose seed is elsewhere (Vault, a TPM) gives no such key; its operator uses the environment.

A variable of the environment goes before a stored key, as with every setting. `environment` is what a ProviderOpener reads: the
variables, and the stored keys under the variables' names. It is for that alone; whoever lists it (to start a process, say) does not
find the stored ones. The file is looked at again whenever a key is asked for, so that a key that another process stored
counts at once, and one that was forgotten no longer does.

Source: workspace-ui.md WS-FR-5; ARCHITECTURE.md §2.8.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from life.aios.errors import InvalidInputError, LifeError, NotFoundError
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.custody import Custody
from life.aios.ports.provider import Chunk, ModelProvider, ModelRequest
from life.aios.record import format_timestamp
from life.anima.custody.in_process import InProcessAnima
from life.anima.errors import InsecureFileError, UnsupportedOperationError
from life.anima.home import open_identity
from life.anima.private_files import FolderLock, read_private, write_private
from life.arcan.providers.selection import OWN_ADDRESS_KEY, parse_chain, parse_record
from life.crypto.errors import CryptoError
from life.crypto.seal import NONCE_BYTES, open_sealed, seal
from life.host.data_directory import DataDirectory
from life.host.errors import ModelKeysUnavailableError
from life.host.keys import Prompt, choose_key_source, nobody

FILE_NAME: Final = "model-keys.json"
PURPOSE: Final = "model-keys/1"
"""What the sealing key is derived for."""
MAX_KEY_CHARACTERS: Final = 512

Source = Literal["stored", "environment", "none"]


class KeyPlace(NamedTuple):
    """Where a provider's key is looked for: its variables in order, and where the key is sent."""

    variables: tuple[str, ...]
    address_variable: str
    address: str


PLACES: Final[Mapping[str, KeyPlace]] = {
    "anthropic": KeyPlace(("ANTHROPIC_API_KEY",), "ANTHROPIC_BASE_URL", "https://api.anthropic.com"),
    "openai": KeyPlace(("OPENAI_API_KEY",), "OPENAI_BASE_URL", "https://api.openai.com/v1"),
    "gemini": KeyPlace(
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"), "GEMINI_BASE_URL", "https://generativelanguage.googleapis.com"
    ),
    "compatible": KeyPlace((OWN_ADDRESS_KEY,), "", ""),
}
"""The providers that take a key. `compatible` is for addresses that stand in a specification (`MODEL@URL`)."""


class KeyLine(msgspec.Struct, frozen=True, kw_only=True):
    """How one provider's key stands; nothing of the key itself."""

    provider: str
    source: Source
    """What is in force."""
    variable: str
    """The variable of the environment that is used, or would be."""
    stored: bool
    set_at: str | None
    """When the stored key was set."""
    readable: bool
    """Whether the stored key can be opened; true when there is none."""
    address: str
    """Where the key is sent; empty for `compatible`."""


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    provider: str
    set_at: str
    nonce: str
    sealed: str


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    keys: tuple[_Entry, ...] = ()


class _Seen(NamedTuple):
    """A version of the file, and what has been opened of it."""

    mark: tuple[int, ...]
    entries: dict[str, _Entry]
    opened: dict[str, str]


class ModelKeys:
    """The stored keys of one data directory. The calls block for a file's reading; belongs to one thread."""

    def __init__(
        self,
        path: Path,
        storage_key: Callable[[], bytes],
        environment: Mapping[str, str],
        *,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        """`storage_key` gives 32 bytes; it is asked when the first key is sealed or opened, and may raise a LifeError."""
        self._path = path
        self._storage_key = storage_key
        self._base = environment
        self._clock = clock
        self._entropy = entropy
        self._key: bytes | None = None
        self._seen = _Seen((), {}, {})
        self.environment: Mapping[str, str] = _KeyedEnvironment(environment, self)

    def __repr__(self) -> str:
        return f"ModelKeys({str(self._path)!r})"

    def lines(self) -> list[KeyLine]:
        """How every provider's key stands."""
        entries = self._current().entries
        return [self._line(provider, entries.get(provider)) for provider in PLACES]

    def line(self, provider: str) -> KeyLine:
        """How one provider's key stands; NotFoundError for a provider that takes none."""
        check_provider(provider)
        return self._line(provider, self._current().entries.get(provider))

    def obstacle(self) -> str:
        """Why no key can be stored here; empty when one can."""
        try:
            self._sealing_key()
        except ModelKeysUnavailableError as error:
            return error.message
        return ""

    def key(self, provider: str) -> str | None:
        """The key in force; None without one. ModelKeysUnavailableError for one that can't be opened."""
        place = PLACES[provider]
        given = next((self._base[name] for name in place.variables if self._base.get(name)), None)
        return given or self._stored(provider)

    def store(self, provider: str, key: str) -> KeyLine:
        """Seal a key; durable on return. InvalidInputError for what can be no key, ModelKeysUnavailableError where there is no
        seed to seal it under."""
        check_provider(provider)
        check_key(key)
        set_at = format_timestamp(self._clock.now_us())
        nonce = self._entropy.token_bytes(NONCE_BYTES)
        sealed = seal(key.encode(), key=self._sealing_key(), nonce=nonce, associated_data=_bound(provider, set_at))
        self._change(provider, _Entry(provider, set_at, _encode(nonce), _encode(sealed)))
        return self.line(provider)

    def forget(self, provider: str) -> KeyLine:
        """Remove a stored key; without one nothing changes."""
        check_provider(provider)
        if provider in self._current().entries:
            self._change(provider, None)
        return self.line(provider)

    def revision(self) -> tuple[int, ...]:
        """Another value whenever the stored keys have changed."""
        return self._current().mark

    def renewing(self, open_provider: Callable[[str], ModelProvider]) -> Callable[[str], ModelProvider]:
        """An opener whose providers are opened anew when the stored keys have changed since."""

        def opened(specification: str) -> ModelProvider:
            if not takes_key(specification):
                return open_provider(specification)
            return _RenewedProvider(self, open_provider, specification)

        return opened

    # --- inside ---------------------------------------------------------------------------------------------------

    def _line(self, provider: str, entry: _Entry | None) -> KeyLine:
        place = PLACES[provider]
        given = next((name for name in place.variables if self._base.get(name)), None)
        readable = True
        if entry is not None:
            try:
                self._stored(provider)
            except ModelKeysUnavailableError:
                readable = False
        source: Source = "environment" if given else "stored" if entry is not None and readable else "none"
        address = self._base.get(place.address_variable) or place.address if place.address else ""
        return KeyLine(
            provider=provider,
            source=source,
            variable=given or place.variables[0],
            stored=entry is not None,
            set_at=None if entry is None else entry.set_at,
            readable=readable,
            address=address,
        )

    def _stored(self, provider: str) -> str | None:
        seen = self._current()
        entry = seen.entries.get(provider)
        if entry is None:
            return None
        if provider not in seen.opened:
            try:
                plain = open_sealed(
                    _decode(entry.sealed),
                    key=self._sealing_key(),
                    nonce=_decode(entry.nonce),
                    associated_data=_bound(provider, entry.set_at),
                )
                seen.opened[provider] = plain.decode("ascii")
            except (CryptoError, UnicodeDecodeError, binascii.Error):
                raise ModelKeysUnavailableError(
                    f"The stored key of {provider} was sealed under another identity, or its file was altered.",
                    next_step=f"Enter it again: life models key set {provider}",
                    details={"provider": provider},
                ) from None
        return seen.opened[provider]

    def _current(self) -> _Seen:
        """The file as it is now."""
        try:
            status = self._path.lstat()
        except FileNotFoundError:
            mark: tuple[int, ...] = ()
        else:
            mark = (status.st_mtime_ns, status.st_size, status.st_ino)
        if mark != self._seen.mark or (mark == () and self._seen.entries):
            self._seen = _Seen(mark, self._read() if mark else {}, {})
        return self._seen

    def _read(self) -> dict[str, _Entry]:
        try:
            content = read_private(self._path)
            if content is None:
                return {}
            return {entry.provider: entry for entry in msgspec.json.decode(bytes(content), type=_File).keys}
        except InsecureFileError as error:
            raise ModelKeysUnavailableError(error.message, next_step=error.next_step) from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ModelKeysUnavailableError(
                f"{self._path} is not what was written.", next_step=f"Delete {self._path} and enter the keys again."
            ) from None
        except OSError as error:
            raise ModelKeysUnavailableError(f"{self._path} can't be read: {error.strerror}.") from None

    def _change(self, provider: str, entry: _Entry | None) -> None:
        try:
            with FolderLock(self._path.parent):
                entries = self._read()
                entries.pop(provider, None)
                if entry is not None:
                    entries[provider] = entry
                content = msgspec.json.encode(_File(1, tuple(entries[name] for name in sorted(entries))))
                write_private(self._path, content)
        except OSError as error:
            raise ModelKeysUnavailableError(f"{self._path} can't be written: {error.strerror}.") from None

    def _sealing_key(self) -> bytes:
        if self._key is None:
            try:
                self._key = self._storage_key()
            except LifeError as error:
                raise ModelKeysUnavailableError(
                    f"No key can be sealed here: {error.message}",
                    next_step="Give keys in the environment, such as ANTHROPIC_API_KEY.",
                ) from None
        return self._key


class _KeyedEnvironment(Mapping[str, str]):
    """The environment, and stored keys for whoever asks for one by its name."""

    def __init__(self, base: Mapping[str, str], keys: ModelKeys) -> None:
        self._base = base
        self._keys = keys

    def __getitem__(self, name: str) -> str:
        if self._base.get(name):
            return self._base[name]
        provider = _PROVIDER_OF.get(name)
        key = None if provider is None else self._keys.key(provider)
        if key is None:
            return self._base[name]  # an empty variable is an empty variable; one that is not there raises
        return key

    def __iter__(self) -> Iterator[str]:
        return iter(self._base)

    def __len__(self) -> int:
        return len(self._base)

    def __repr__(self) -> str:
        return f"<an environment of {len(self)} variables, and stored model keys>"


_PROVIDER_OF: Final = {place.variables[0]: provider for provider, place in PLACES.items()}


class _RenewedProvider:
    """A provider that is opened again when the keys have changed. Answers that are under way go on with the old key."""

    def __init__(self, keys: ModelKeys, open_provider: Callable[[str], ModelProvider], specification: str) -> None:
        self._keys = keys
        self._open = open_provider
        self._specification = specification
        self._revision = keys.revision()
        self._provider = open_provider(specification)
        self._former: list[ModelProvider] = []

    @property
    def name(self) -> str:
        """As the provider's own."""
        return self._provider.name

    def knows_price(self) -> bool:
        """As the provider itself."""
        known = getattr(self._provider, "knows_price", None)
        return bool(known()) if known is not None else False

    async def stream(self, request: ModelRequest) -> AsyncIterator[Chunk]:
        """The answer of the provider with the keys of now."""
        revision = self._keys.revision()
        if revision != self._revision:
            renewed = self._open(self._specification)  # raises while the key is missing, so the next call tries again
            self._former.append(self._provider)
            self._provider, self._revision = renewed, revision
        chunks = self._provider.stream(request)
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            close = getattr(chunks, "aclose", None)  # the port promises it, AsyncIterator's type does not
            if close is not None:
                await close()

    async def aclose(self) -> None:
        """Close every connection that was opened."""
        for provider in (*self._former, self._provider):
            close = getattr(provider, "aclose", None)
            if close is not None:
                await close()


def project_model_keys(
    data: DataDirectory,
    clock: Clock,
    entropy: Entropy,
    *,
    environment: Mapping[str, str] = os.environ,
    prompt: Prompt = nobody,
) -> ModelKeys:
    """The keys of a project whose custody is not open. The seed is opened when the first key is sealed or opened."""

    def storage_key() -> bytes:
        source = choose_key_source(data.identity, environment, prompt)
        custody = open_identity(data.identity, source, clock=clock).custody
        try:
            return custody.storage_key(PURPOSE)
        finally:
            custody.close()

    return ModelKeys(data.root / FILE_NAME, storage_key, environment, clock=clock, entropy=entropy)


def open_model_keys(
    data: DataDirectory, custody: Custody, environment: Mapping[str, str], *, clock: Clock, entropy: Entropy
) -> ModelKeys:
    """The keys of a project whose custody is open."""

    def storage_key() -> bytes:
        if not isinstance(custody, InProcessAnima):
            backend = custody.capabilities().backend
            raise UnsupportedOperationError(
                f"This identity's keys are held by {backend}, which gives no key for files."
            )
        return custody.storage_key(PURPOSE)

    return ModelKeys(data.root / FILE_NAME, storage_key, environment, clock=clock, entropy=entropy)


def takes_key(specification: str) -> bool:
    """Whether a provider of this specification may look for a key. UnknownProviderError when it names none."""
    record = parse_record(specification)
    if record is not None:
        return takes_key(record.inner)
    return any(parts.kind not in ("scripted", "replay") for parts in parse_chain(specification))


def check_provider(provider: str) -> None:
    """NotFoundError for a provider that takes no key."""
    if provider not in PLACES:
        raise NotFoundError("There is no such provider that takes a key.", next_step=f"Use one of {', '.join(PLACES)}.")


def check_key(key: str) -> None:
    """InvalidInputError for what can be no key. The words are never repeated: most of them are a key."""
    if not key:
        raise InvalidInputError("The key is empty.")
    if len(key) > MAX_KEY_CHARACTERS:
        raise InvalidInputError(f"The key is longer than {MAX_KEY_CHARACTERS} characters.")
    if not all("!" <= character <= "~" for character in key):
        raise InvalidInputError("The key has blanks or characters that no key has; copy it again, whole.")


def _bound(provider: str, set_at: str) -> bytes:
    return f"life/model-key/1\n{provider}\n{set_at}".encode()


def _encode(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
