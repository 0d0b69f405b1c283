"""Which browser an identity is in: the record that enrolment leaves, and its file.

Nothing in it is secret, but whoever could change it could put their own browser in: the file has mode 0600.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import msgspec

from life.aios.errors import ConflictError
from life.anima.custody.external_keys import did_key_of
from life.anima.errors import CustodyProtocolError
from life.anima.private_files import make_private_folder, read_private, sync_folder, write_private
from life.crypto.base64url import decode_base64url
from life.crypto.did import DidKey
from life.crypto.errors import CryptoError


class Enrolment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One browser: its device key, and the passkey that was bound to it. Bytes in base64url."""

    did: str
    device_key: str
    """65 bytes, uncompressed P-256."""
    credential_id: str
    passkey: str
    """COSE key, ES256."""
    sign_count: int
    """The passkey's counter when it was last seen; 0 for those that have none."""
    rp_id: str
    attestation_format: str
    aaguid: str
    enrolled_at: str

    @property
    def key(self) -> DidKey:
        """The device key as the DID has it."""
        return did_key_of(decode_base64url(self.device_key))


class EnrolmentStore(Protocol):
    """Where the record lies."""

    def load(self) -> Enrolment | None:
        """The record, None before enrolment."""
        ...

    def save(self, enrolment: Enrolment) -> None:
        """Replace the record; on return it is durable."""
        ...


class EnrolmentFile:
    """The record in a private file. One process writes it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> Enrolment | None:
        """The record, checked; CustodyProtocolError when it is damaged, InsecureFileError when others may write it."""
        content = read_private(self.path)
        if content is None:
            return None
        try:
            enrolment = msgspec.json.decode(bytes(content), type=Enrolment)
            if enrolment.key.did == enrolment.did:
                return enrolment
        except (msgspec.DecodeError, CryptoError):
            pass
        raise CustodyProtocolError(
            f"{self.path} is not the record of an enrolled browser.",
            next_step="Restore the file, or remove it and enrol a browser anew: it gets another DID.",
        )

    def save(self, enrolment: Enrolment) -> None:
        """Replace the file. ConflictError when it names another browser: that is a rotation, and not made here."""
        known = self.load()
        if known is not None and known.did != enrolment.did:
            raise ConflictError("Another browser is enrolled already.", details={"did": known.did})
        make_private_folder(self.path.parent)
        write_private(self.path, msgspec.json.encode(enrolment) + os.linesep.encode())
        sync_folder(self.path.parent)


def device_key_of(text: str) -> bytes:
    """The 65 bytes of a device key in base64url, checked to lie on the curve. CryptoError."""
    raw = decode_base64url(text)
    did_key_of(raw)
    return raw
