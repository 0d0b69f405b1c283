"""Vault over TLS: our own authority, a client certificate where the server wants one, and nobody else's server."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from life.anima.custody.vault_client import VaultSettings
from life.anima.custody.vault_transit import VaultTransitAnima
from life.anima.errors import CustodyInputError, CustodyUnavailableError
from life.testing.clock import SeededEntropy
from tests.anima.custody.test_vault_transit import NAME, QuickClock, credential
from tests.harness.vault_standin import VaultStandin

FROM, UNTIL = (datetime.datetime(year, 1, 1, tzinfo=datetime.UTC) for year in (2020, 2120))


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.file = self._issue("authority", self.key, self.key, "authority")

    def issue(self, name: str) -> tuple[Path, Path]:
        """A certificate for 127.0.0.1, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._issue(name, key, self.key, "authority")
        file = self.folder / f"{name}.key"
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return certificate, file

    def _issue(
        self, name: str, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey, issuer: str
    ) -> Path:
        is_authority = name == issuer
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(FROM)
            .not_valid_after(UNTIL)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
            )
        )
        file = self.folder / f"{name}.pem"
        file.write_bytes(builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM))
        return file


@contextmanager
def server(authority: Authority, *, wants_client: bool = False) -> Iterator[VaultStandin]:
    """A stand-in with a certificate of the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server"))
    if wants_client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.file)
    with VaultStandin(context) as running:
        running.make_key(NAME)
        yield running


async def token_by(running: VaultStandin, **changes: object) -> str:
    """A token signed by the server's key."""
    settings = VaultSettings(**{"address": running.address, "key_name": NAME, **changes})  # type: ignore[arg-type]
    handle = await VaultTransitAnima.open(settings, credential(), clock=QuickClock(), entropy=SeededEntropy())
    try:
        return await handle.sign_token({})
    finally:
        await handle.close()


async def test_a_server_of_our_authority(tmp_path: Path) -> None:
    """With its CA file it is trusted; without, or with another one, it is not, and the token never reaches it."""
    authority = Authority(tmp_path)
    (tmp_path / "other").mkdir()
    with server(authority) as running:
        assert await token_by(running, ca_file=authority.file)
        running.seen.clear()
        for ca_file in (None, Authority(tmp_path / "other").file):
            with pytest.raises(CustodyUnavailableError):
                await token_by(running, ca_file=ca_file)
        assert running.seen == []


async def test_a_server_that_wants_a_client_certificate(tmp_path: Path) -> None:
    """It gets the one of the settings; without one it serves nothing."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue("client")
    with server(authority, wants_client=True) as running:
        assert await token_by(running, ca_file=authority.file, client_certificate=certificate, client_key=key)
        with pytest.raises(CustodyUnavailableError):
            await token_by(running, ca_file=authority.file)


async def test_files_that_are_no_certificates(tmp_path: Path) -> None:
    """A file of something else is refused before anything is sent."""
    authority = Authority(tmp_path)
    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    with server(authority) as running:
        for wrong in ({"ca_file": text}, {"client_certificate": text, "client_key": text}):
            with pytest.raises(CustodyInputError):
                await token_by(running, **wrong)
