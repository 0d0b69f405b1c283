"""RemoteAnima: the keys are with an oracle on another machine (anima.md §13.7; AN-REM-1 to AN-REM-3).

The caller has a key of its own and a permit that runs out. Every request is signed by that key, every answer by the oracle,
and every signature that comes back is checked against the agent's public names. Half of its life before it ends, a permit is
renewed, once for all calls that wait; when it has run out, the capability file is read again, and without a newer one there
the call is a CapExpiredError.

Without TLS only this machine is spoken to: `http://127.0.0.1:…` or `unix:/path`. No proxy is taken from the environment and
no redirect is followed. A call is sent once; what did not answer in time may have been signed, and asking again is safe.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2
import msgspec

from life.aios.ports.clock import Clock, Entropy
from life.anima.custody.oracle_handle import OracleAnima
from life.anima.custody.remote_proofs import (
    PERMIT_SCHEME,
    PROOF_HEADER,
    RENEWAL_PATH,
    SIGN_PATH,
    CallerKey,
    PermitClaims,
    check_answer,
    check_time,
    read_permit,
)
from life.anima.custody.soma.protocol import (
    MAX_FRAME_BYTES,
    AgentFacts,
    AnyRequest,
    Describe,
    Reply,
    decode_reply,
    encode,
    raise_refusal,
)
from life.anima.custody.wallet_rules import CustodyObserver, WalletRules
from life.anima.errors import (
    CapExpiredError,
    CustodyAuthFailedError,
    CustodyInputError,
    CustodyProtocolError,
    CustodyTimeoutError,
    CustodyUnavailableError,
    KeyNotFoundError,
    StaleHandleError,
)
from life.anima.private_files import FolderLock, make_private_folder, read_private, write_private
from life.crypto.base64url import decode_base64url, encode_base64url
from life.crypto.errors import CryptoError, InvalidEncodingError
from life.crypto.p256 import load_private_key
from life.crypto.wiping import wipe, wiped

MAX_ANSWER_BYTES: Final = 2 * MAX_FRAME_BYTES
_DEFAULT_RULES: Final = WalletRules()
_KEY_BYTES: Final = 32


class Capability(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A capability file's content. `key` is secret; the file has mode 0600."""

    key: str
    """The caller's P-256 key, base64url."""
    oracle: str = ""
    """The oracle's DID."""
    agent: str = ""
    permit: str = ""

    def __repr__(self) -> str:
        return f"<Capability of {self.oracle or 'nobody yet'} for {self.agent or 'nobody yet'}>"


class Offer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `somad grant` prints, and `CapabilityFile.accept` takes: nothing in it is secret."""

    oracle: str
    agent: str
    permit: str


class CapabilityFile:
    """The caller's key and its permit, in a private file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self, entropy: Entropy) -> str:
        """Make the file with a new key, unless it is there; the key's DID either way."""
        make_private_folder(self.path.parent)
        with FolderLock(self.path.parent):
            if read_private(self.path) is None:
                while True:
                    with wiped(bytearray(entropy.token_bytes(_KEY_BYTES))) as secret:
                        try:
                            load_private_key(secret)
                        except CryptoError:
                            continue  # one in 2^32 is out of range
                        self._write(Capability(key=encode_base64url(bytes(secret))))
                    break
        return self.caller_key().did.did

    def accept(self, offer: Offer) -> PermitClaims:
        """Put a permit into the file. CustodyAuthFailedError when it is not one for this key."""
        claims = read_permit(offer.permit, oracle_did=offer.oracle)
        if claims.sub != self.caller_key().did.did or claims.agent != offer.agent:
            raise CustodyAuthFailedError(f"The permit is not for the key in {self.path}.")
        with FolderLock(self.path.parent):
            before = self.read()
            self._write(Capability(key=before.key, oracle=offer.oracle, agent=offer.agent, permit=offer.permit))
        return claims

    def read(self) -> Capability:
        """The file. KeyNotFoundError without one, InsecureFileError when others may read it, CustodyProtocolError when it is
        malformed."""
        content = read_private(self.path)
        if content is None:
            raise KeyNotFoundError(
                f"The capability file {self.path} is missing.",
                next_step=f"life identity remote-key {self.path}",
            )
        try:
            return msgspec.json.decode(content, type=Capability)
        except msgspec.DecodeError:
            raise CustodyProtocolError(f"{self.path} is no capability file.") from None
        finally:
            wipe(content)

    def caller_key(self) -> CallerKey:
        """The caller's key."""
        try:
            secret = bytearray(decode_base64url(self.read().key))
            with wiped(secret):
                return CallerKey(load_private_key(secret))
        except (InvalidEncodingError, CryptoError):
            raise CustodyProtocolError(f"The key in {self.path} is malformed.") from None

    def _write(self, capability: Capability) -> None:
        write_private(self.path, msgspec.json.encode(capability) + b"\n")


@dataclass(frozen=True, kw_only=True)
class RemoteSettings:
    """Where the oracle is."""

    url: str
    """`https://host[:port]`, `http://127.0.0.1:port` or `unix:/path/of/socket`."""
    capability_file: Path
    ca_file: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    timeout_s: float = 10.0

    def __post_init__(self) -> None:
        check_remote_url(self.url)
        if (self.client_certificate is None) != (self.client_key is None):
            raise CustodyInputError("A client certificate needs its key, and the key its certificate.")
        if not 0 < self.timeout_s <= 600:
            raise CustodyInputError("The time an oracle has for an answer is between 0 and 600 seconds.")


class RemoteAnima(OracleAnima):
    """The Custody port over a remote oracle. Make one with `open`; close it."""

    @classmethod
    async def open(
        cls,
        settings: RemoteSettings,
        *,
        clock: Clock,
        entropy: Entropy,
        did: str | None = None,
        rules: WalletRules = _DEFAULT_RULES,
        observer: CustodyObserver | None = None,
    ) -> RemoteAnima:
        """The handle of the permit's agent. StaleHandleError when its key is not `did`; CapExpiredError; errors of
        `CapabilityFile` and of the oracle."""
        channel = await asyncio.to_thread(RemoteChannel, settings, clock=clock, entropy=entropy)
        try:
            facts = await channel.describe()
            if did is not None and facts.did != did:
                raise StaleHandleError(
                    f"The oracle holds another key for {facts.agent} than the identity's.", details={"did": facts.did}
                )
            return cls(channel, facts, backend="remote", clock=clock, rules=rules, observer=observer)
        except BaseException:
            await channel.close()
            raise


class RemoteChannel:
    """An OracleChannel over HTTP."""

    def __init__(self, settings: RemoteSettings, *, clock: Clock, entropy: Entropy) -> None:
        """Reads the capability file: its errors. Blocks for milliseconds."""
        self._settings = settings
        self._clock = clock
        self._entropy = entropy
        self._file = CapabilityFile(settings.capability_file)
        self._key = self._file.caller_key()
        self._renewing = asyncio.Lock()
        self._take(self._file.read())
        self._http = _client(settings)
        self._closed = False

    @property
    def agent(self) -> str:
        """The permit's agent."""
        return self._claims.agent

    async def describe(self) -> AgentFacts:
        """The public names of the permit's agent, and what the caller may have signed, with the agent's soul."""
        reply = await self.ask(Describe(agent=self._claims.agent))
        if not reply.agents or reply.agents[0].agent != self._claims.agent:
            raise CustodyProtocolError("The oracle's description is not of this agent.")
        return reply.agents[0]

    async def ask(self, request: AnyRequest) -> Reply:
        """See OracleChannel."""
        if self._closed:
            raise StaleHandleError("This custody handle is closed.", next_step="Open the identity again.")
        await self._fresh_permit()
        try:
            reply = await self._post(SIGN_PATH, encode(request))
            raise_refusal(reply)
        except CapExpiredError:
            if not await self._reread(self._permit):
                raise
            reply = await self._post(SIGN_PATH, encode(request))
            raise_refusal(reply)
        return reply

    async def close(self) -> None:
        """See OracleChannel."""
        self._closed = True
        await self._http.aclose()

    async def _fresh_permit(self) -> None:
        now_s = self._clock.now_us() // 1_000_000
        if now_s < self._renew_at_s:
            return
        async with self._renewing:
            now_s = self._clock.now_us() // 1_000_000
            if now_s < self._renew_at_s:
                return  # another call was faster
            if now_s >= self._claims.exp and not await self._reread(self._permit):
                check_time(self._claims, now_s)
            if now_s >= self._renew_at_s:
                await self._renew(now_s)

    async def _renew(self, now_s: int) -> None:
        """Ask for a new permit; as long as the old one holds, a failure is only tried again later."""
        try:
            reply = await self._post(RENEWAL_PATH, b"{}")
            raise_refusal(reply)
            offer = Offer(oracle=self._oracle, agent=self._claims.agent, permit=reply.token or "")
            await asyncio.to_thread(self._file.accept, offer)
            self._take(await asyncio.to_thread(self._file.read))
        except (CustodyUnavailableError, CustodyTimeoutError):
            self._renew_at_s = now_s + max(1, (self._claims.exp - now_s) // 4)
            check_time(self._claims, now_s)

    async def _reread(self, before: str) -> bool:
        """Whether the file holds another permit that is good now."""
        found = await asyncio.to_thread(self._file.read)
        if found.permit == before:
            return False
        self._take(found)
        check_time(self._claims, self._clock.now_us() // 1_000_000)
        return True

    def _take(self, capability: Capability) -> None:
        if not capability.permit:
            raise CustodyAuthFailedError(
                f"The key in {self._file.path} has no permit yet.",
                next_step=f"Have it granted: somad grant AGENT --to {self._key.did.did}",
            )
        claims = read_permit(capability.permit, oracle_did=capability.oracle)
        if claims.sub != self._key.did.did or claims.agent != capability.agent:
            raise CustodyAuthFailedError(f"The permit in {self._file.path} is not for the key in it.")
        self._permit, self._oracle, self._claims = capability.permit, capability.oracle, claims
        self._renew_at_s = claims.iat + (claims.exp - claims.iat + 1) // 2

    async def _post(self, path: str, body: bytes) -> Reply:
        if len(body) > MAX_FRAME_BYTES:
            raise CustodyInputError("The request is too large for the oracle.")
        permit, oracle = self._permit, self._oracle
        proof = self._key.prove(permit=permit, body=body, path=path, clock=self._clock, entropy=self._entropy)
        headers = {"Authorization": f"{PERMIT_SCHEME} {permit}", PROOF_HEADER: proof}
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                status, content, answer_proof = await self._send(path, body, headers)
        except (TimeoutError, httpx2.TimeoutException):
            raise CustodyTimeoutError(
                "The remote oracle did not answer in time; whether it signed is not known.",
                next_step="Ask again: the same request gives the same signature.",
            ) from None
        except (httpx2.HTTPError, ssl.SSLError, RuntimeError) as error:
            if self._closed:
                raise StaleHandleError("This custody handle is closed.") from None
            raise CustodyUnavailableError(
                f"The remote oracle at {self._settings.url} does not answer ({type(error).__name__})."
            ) from None
        check_answer(answer_proof, oracle_did=oracle, request_proof=proof, body=content, status=status)
        return decode_reply(content)

    async def _send(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, str]:
        async with self._http.stream("POST", path, content=body, headers=headers) as answer:
            content = bytearray()
            async for part in answer.aiter_bytes():
                content += part
                if len(content) > MAX_ANSWER_BYTES:
                    raise CustodyProtocolError("The oracle's answer is far too long.")
            return answer.status_code, bytes(content), answer.headers.get(PROOF_HEADER, "")


def check_remote_url(url: str) -> None:
    """CustodyInputError unless `url` is HTTPS, or leads to this machine."""
    if url.startswith("unix:/"):
        return
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        raise CustodyInputError("The oracle's URL is malformed.") from None
    plain = parsed.scheme == "http" and _is_loopback(parsed.host)
    if not parsed.host or not (parsed.scheme == "https" or plain) or parsed.userinfo or parsed.query or parsed.fragment:
        raise CustodyInputError(
            "The oracle's URL is https://host, http:// on this machine only, or unix:/path of a socket."
        )


def _client(settings: RemoteSettings) -> httpx2.AsyncClient:
    timeout = httpx2.Timeout(settings.timeout_s)
    if settings.url.startswith("unix:/"):
        transport = httpx2.AsyncHTTPTransport(uds=settings.url.removeprefix("unix:"))
        return httpx2.AsyncClient(transport=transport, base_url="http://localhost", timeout=timeout, trust_env=False)
    return httpx2.AsyncClient(base_url=settings.url, verify=_tls(settings), timeout=timeout, trust_env=False)


def _tls(settings: RemoteSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.client_certificate is not None:
            context.load_cert_chain(settings.client_certificate, settings.client_key)
    except OSError as error:
        raise CustodyInputError(
            f"A certificate for the remote oracle can't be used: {error.strerror or 'not in PEM form'}."
        ) from None
    return context


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
