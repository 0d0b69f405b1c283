"""What the custody settings mean for each backend: its own settings, and where its PIN or token comes from.

What a backend needs and does not find is a SettingsError that names the setting.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Final

from life.anima.custody.credentials import Credential, CredentialFile, CredentialSource
from life.anima.custody.hardware_wallet import LedgerSettings
from life.anima.custody.pkcs11 import TokenAddress
from life.anima.custody.remote import RemoteSettings
from life.anima.custody.tpm import DEFAULT_LABEL, TpmSettings
from life.anima.custody.vault_client import VaultSettings, auth_key_name
from life.host.custody_settings import (
    HardwareWalletSettings,
    RemoteCustodySettings,
    SomaCustodySettings,
    TpmCustodySettings,
    VaultCustodySettings,
)
from life.host.errors import SettingsError

_from_descriptors: Final[dict[int, Credential]] = {}
# A descriptor can be read once in the life of a process; a backend may be opened several times.


def tpm_settings(settings: TpmCustodySettings, *, auth: bool, wallet: bool) -> TpmSettings:
    """The token, with the keys that are used on it."""
    if not settings.module:
        raise _missing("custody.tpm.module", "the path of the PKCS#11 module")
    if not settings.token_label and not settings.token_serial:
        raise _missing("custody.tpm.token_label", "the token's label (or custody.tpm.token_serial its number)")
    if wallet and not settings.wallet_label:
        raise _missing("custody.tpm.wallet_label", "the label of the wallet's key on the token")
    return TpmSettings(
        token=TokenAddress(
            module=Path(settings.module),
            label=settings.token_label or None,
            serial=settings.token_serial or None,
            timeout_s=settings.timeout_s,
        ),
        label=(settings.label or DEFAULT_LABEL) if auth else None,
        wallet_label=settings.wallet_label if wallet else None,
    )


def tpm_pin(settings: TpmCustodySettings) -> CredentialSource:
    """The PIN."""
    return _credential(settings.pin_file, settings.pin_fd, "custody.tpm.pin")


def vault_settings(settings: VaultCustodySettings) -> VaultSettings:
    """The server and the key."""
    if not settings.address:
        raise _missing("custody.vault.address", "the server's URL")
    if bool(settings.user_id) == bool(settings.key_name):
        raise SettingsError(
            "The Vault key is named by exactly one of custody.vault.user_id and custody.vault.key_name."
        )
    return VaultSettings(
        address=settings.address,
        key_name=settings.key_name or auth_key_name(settings.user_id),
        mount=settings.mount,
        namespace=settings.namespace or None,
        ca_file=_path(settings.ca_file),
        client_certificate=_path(settings.client_certificate),
        client_key=_path(settings.client_key),
        timeout_s=settings.timeout_s,
    )


def vault_token(settings: VaultCustodySettings) -> CredentialSource:
    """The token for every day."""
    return _credential(settings.token_file, settings.token_fd, "custody.vault.token")


def vault_rotation_token(settings: VaultCustodySettings) -> CredentialSource:
    """The token that may rotate the key."""
    if not settings.rotate_token_file:
        raise _missing("custody.vault.rotate_token_file", "the file with the token that may rotate the key")
    return CredentialFile(Path(settings.rotate_token_file))


def soma_agent(settings: SomaCustodySettings) -> str:
    """The name of the keys at somad."""
    return settings.agent or pwd.getpwuid(os.geteuid()).pw_name


def remote_settings(settings: RemoteCustodySettings) -> RemoteSettings:
    """The oracle and the capability."""
    if not settings.url:
        raise _missing("custody.remote.url", "the oracle's URL")
    if not settings.capability_file:
        raise _missing("custody.remote.capability_file", "the file that `life identity remote-key` made")
    return RemoteSettings(
        url=settings.url,
        capability_file=Path(settings.capability_file),
        ca_file=_path(settings.ca_file),
        client_certificate=_path(settings.client_certificate),
        client_key=_path(settings.client_key),
        timeout_s=settings.timeout_s,
    )


def ledger_settings(settings: HardwareWalletSettings) -> LedgerSettings:
    """The wallet on the device."""
    return LedgerSettings(
        path=settings.path,
        address=settings.address or None,
        typed_data=settings.typed_data,
        confirm_s=settings.confirm_s,
    )


def ledger_address(settings: HardwareWalletSettings) -> tuple[str, int] | None:
    """Host and port of a device over TCP; None for USB."""
    if not settings.tcp:
        return None
    host, _, port = settings.tcp.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) <= 65_535:
        raise SettingsError("custody.hardware_wallet.tcp is host:port.")
    return host.strip("[]"), int(port)


def _credential(file: str, descriptor: int | None, name: str) -> CredentialSource:
    if bool(file) == (descriptor is not None):
        raise SettingsError(f"Exactly one of {name}_file and {name}_fd says where the {name.rpartition('.')[2]} is.")
    if descriptor is None:
        return CredentialFile(Path(file))
    if descriptor not in _from_descriptors:
        _from_descriptors[descriptor] = Credential.from_descriptor(descriptor)
    return _from_descriptors[descriptor]


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _missing(name: str, what: str) -> SettingsError:
    return SettingsError(f"The setting {name} is missing: {what}.", next_step="`life settings` lists them all.")
