"""The checked way out: one resolution, every address checked, connections to checked addresses only."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from life.praxis.egress import EgressClient, EgressPolicy, EgressTransport, resolve_with_system
from life.praxis.errors import AddressRefusedError
from tests.praxis.loopback import Seen, always, response, serve

LOOPBACK = EgressPolicy(allow_private_hosts=("127.0.0.0/8", "[::1]"))


@contextmanager
def refused_address() -> Iterator[None]:
    """A connection that was never made because its address is closed to tools."""
    with pytest.raises(httpx2.ConnectError) as refused:
        yield
    cause = refused.value.__cause__
    assert isinstance(cause, AddressRefusedError)
    assert cause.code == "praxis.address_refused"


class Names:
    """A resolver that answers from a table and counts; a list of lists is used up answer by answer."""

    def __init__(self, **table: list[list[str]]) -> None:
        self.table = {name.replace("_", "."): answers for name, answers in table.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        """The next answer for the host."""
        self.asked.append(host)
        if host not in self.table:
            raise OSError("no such name")
        return self.table[host].pop(0)


async def test_permitted_loopback_works() -> None:
    """With the operator's permit a local server answers, and the connection is kept for the next request."""
    async with serve(always(response(200, b"hello"))) as server, EgressClient(LOOPBACK) as client:
        for _ in range(2):
            answer = await client.get(server.url("/x"))
            assert (answer.status_code, answer.text) == (200, "hello")
        assert server.connections == 1


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]", "127.0.0.2", "[64:ff9b::7f00:1]", "0.0.0.0"]
)
async def test_private_addresses_are_refused_before_a_connection(host: str) -> None:
    """Loopback in every spelling: refused without a packet."""
    async with serve(always(response())) as server, EgressClient(EgressPolicy()) as client:
        with refused_address():
            await client.get(server.url(host=host))
        assert server.connections == 0


@pytest.mark.parametrize("host", ["169.254.169.254", "0.0.0.0", "[fe80::1]", "224.0.0.1", "168.63.129.16"])
async def test_some_addresses_have_no_permit(host: str) -> None:
    """Metadata services, link-local, multicast and the unspecified address stay closed under `*`."""
    async with EgressClient(EgressPolicy(allow_private_hosts=("*",))) as client:
        with refused_address():
            await client.get(f"http://{host}/")


async def test_a_name_with_a_private_address_needs_its_own_permit() -> None:
    """`evil.test` at 127.0.0.1 is refused although 127.0.0.1 itself is permitted; a permitted name goes through."""
    async with serve(always(response(200, b"ok"))) as server:
        names = Names(evil_test=[["127.0.0.1"]], shop_test=[["127.0.0.1"]])
        policy = EgressPolicy(allow_private_hosts=("127.0.0.1", "shop.test"))
        async with EgressClient(policy, resolve=names) as client:
            with refused_address():
                await client.get(server.url(host="evil.test"))
            assert server.connections == 0
            assert (await client.get(server.url(host="shop.test"))).text == "ok"
    assert server.requests[0].headers["host"] == f"shop.test:{server.port}"


async def test_one_private_address_among_public_ones_refuses_the_name() -> None:
    """A mixed answer is an attack or a mistake; it is not sorted for the caller."""
    names = Names(mixed_test=[["93.184.215.14", "10.0.0.7"]])
    async with EgressClient(EgressPolicy(), resolve=names) as client:
        with refused_address():
            await client.get("http://mixed.test/")


async def test_a_changing_answer_is_asked_for_once() -> None:
    """DNS rebinding: the address that was checked is the one connected to; a second answer is never fetched."""
    async with serve(always(response(200, b"first"))) as server:
        names = Names(flip_test=[["127.0.0.1"], ["169.254.169.254"]])
        async with EgressClient(EgressPolicy(allow_private_hosts=("flip.test",)), resolve=names) as client:
            assert (await client.get(server.url(host="flip.test"))).text == "first"
            assert (await client.get(server.url(host="flip.test"))).text == "first"
    assert names.asked == ["flip.test"]


async def test_the_second_address_is_tried_when_the_first_is_dead() -> None:
    """A host with one dead address is reachable through the other."""
    async with serve(always(response(200, b"ok"))) as server:
        names = Names(two_test=[["127.0.0.9", "127.0.0.1"]])
        async with EgressClient(EgressPolicy(allow_private_hosts=("two.test",)), resolve=names) as client:
            assert (await client.get(server.url(host="two.test"))).text == "ok"


async def test_errors_are_httpx2s() -> None:
    """No name, nobody listening, a broken answer, a broken body, a slow server: the exceptions httpx2 documents."""

    async def half(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
        await writer.drain()
        writer.close()

    async def silent(seen: Seen, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with EgressClient(LOOPBACK, resolve=Names(none_test=[[]])) as client:
        for host in ("none.test", "unknown.test"):
            with pytest.raises(httpx2.ConnectError):
                await client.get(f"http://{host}/")
        async with serve(always(b"")) as server:
            port = server.port
        with pytest.raises(httpx2.ConnectError):
            await client.get(f"http://127.0.0.1:{port}/")
        async with serve(always(b"SMTP ready\r\n\r\n")) as server:
            with pytest.raises(httpx2.RemoteProtocolError):
                await client.get(server.url())
        async with serve(half) as server:
            with pytest.raises(httpx2.RemoteProtocolError):
                await client.get(server.url())
        async with serve(silent) as server:
            with pytest.raises(httpx2.ReadTimeout):
                await client.get(server.url(), timeout=0.1)


async def test_a_slow_name_service_ends_in_time() -> None:
    """Resolution counts into the connect time."""

    async def never(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    async with EgressClient(EgressPolicy(), resolve=never) as client:
        with pytest.raises(httpx2.ConnectTimeout):
            await client.get("http://slow.test/", timeout=0.1)


async def test_the_environment_plays_no_role(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment would connect for us, unchecked; it is not used."""
    async with serve(always(response(200, b"proxy"))) as proxy, EgressClient(EgressPolicy()) as client:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url())
        async with EgressClient(EgressPolicy()) as client:
            with refused_address():
                await client.get("http://127.0.0.1:1/")
        assert proxy.connections == 0


async def test_cookies_are_not_kept() -> None:
    """One client serves many sessions; what a server sets for one is not sent for another."""
    async with (
        serve(always(response(200, b"", set_cookie="sid=1; Path=/"))) as server,
        EgressClient(LOOPBACK) as client,
    ):
        await client.get(server.url())
        await client.get(server.url())
    assert all("cookie" not in seen.headers for seen in server.requests)


async def test_what_is_wrapped_around_stands_on_the_check() -> None:
    """The host's transport sees every request and still can't reach a private address."""
    passed: list[str] = []

    class Paying(httpx2.AsyncBaseTransport):
        def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
            self.inner = inner

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            passed.append(str(request.url))
            return await self.inner.handle_async_request(request)

        async def aclose(self) -> None:
            await self.inner.aclose()

    async with serve(always(response())) as server, EgressClient(EgressPolicy(), wrap=Paying) as client:
        with refused_address():
            await client.get(server.url())
        assert passed == [server.url()]
        assert server.connections == 0


async def test_closing_closes_connections_behind_any_wrapping() -> None:
    """A transport around ours that forgets to pass closing on leaves no socket open."""

    class Forgetful(httpx2.AsyncBaseTransport):
        def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
            self.inner = inner

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            return await self.inner.handle_async_request(request)

    left = asyncio.Event()

    async def answer(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(response())
        asyncio.get_running_loop().create_task(writer.wait_closed()).add_done_callback(lambda _: left.set())

    for by_context in (True, False):
        left.clear()
        async with serve(answer) as server:
            client = EgressClient(LOOPBACK, wrap=Forgetful)
            if by_context:
                async with client:
                    await client.get(server.url())
            else:
                await client.get(server.url())
                await client.aclose()
            await asyncio.wait_for(left.wait(), 10)


def certificate_for(name: str, directory: Path) -> tuple[Path, Path]:
    """A self-signed certificate and its key, valid around the year 2025 and long after."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2020, 1, 1))
        .not_valid_after(datetime.datetime(2049, 1, 1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = directory / "cert.pem", directory / "key.pem"
    certificate.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, private


async def test_tls_verifies_the_name_of_the_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connecting to a checked address does not weaken TLS: the right name passes, another name at the same server,
    and a request that asks for another name to be verified, do not."""
    certificate, private = certificate_for("shop.test", tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, private)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    names = Names(shop_test=[["127.0.0.1"]], other_test=[["127.0.0.1"], ["127.0.0.1"]])
    policy = EgressPolicy(allow_private_hosts=("*.test",))
    async with serve(always(response(200, b"secure")), tls=tls) as server:
        async with EgressClient(policy, resolve=names) as client:
            assert (await client.get(server.url(host="shop.test", scheme="https"))).text == "secure"
            with pytest.raises(httpx2.ConnectError):
                await client.get(server.url(host="other.test", scheme="https"))
            with pytest.raises(httpx2.ConnectError):
                await client.get(
                    server.url(host="other.test", scheme="https"), extensions={"sni_hostname": "shop.test"}
                )
    assert len(server.requests) == 1


async def test_unix_sockets_are_refused() -> None:
    """The backend offers no other way out."""
    with pytest.raises(AddressRefusedError):
        await EgressTransport(EgressPolicy())._backend.connect_unix_socket("/run/docker.sock")


async def test_the_system_resolver_gives_addresses() -> None:
    """Whatever the machine says about localhost is a list of addresses without repeats."""
    found = await resolve_with_system("localhost", 80)
    assert found
    assert len(found) == len(set(found))
    assert all(ipaddress.ip_address(address).is_loopback for address in found)
