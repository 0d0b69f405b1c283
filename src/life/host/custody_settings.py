"""Which backend holds the agent's keys, and how it is reached: the section `[custody]` of the settings.

    [custody]
    backend = "vault"                 # in_process, tpm, vault, soma, remote, web_crypto; empty: as soul.json says
    wallet_backend = "tpm"            # who holds the wallet, when it is another one; empty: the same

    [custody.vault]
    address = "https://vault.example:8200"
    user_id = "alice"
    token_file = "/home/alice/.life-vault-token"

Secrets are never settings: a PIN or a token is named by its file or by an open file descriptor. What a backend needs and
does not find is a SettingsError that names the setting.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from life.host.errors import SettingsError

AuthBackend = Literal["in_process", "tpm", "vault", "soma", "remote", "web_crypto"]
WalletBackend = Literal["in_process", "tpm", "soma", "remote", "hardware_wallet"]
Timeout = Annotated[float, msgspec.Meta(gt=0, le=600)]
Descriptor = Annotated[int, msgspec.Meta(ge=0)]


class TpmCustodySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A PKCS#11 token."""

    module: str = ""
    token_label: str = ""
    token_serial: str = ""
    label: str = "anima-auth"
    wallet_label: str = ""
    pin_file: str = ""
    pin_fd: Descriptor | None = None
    timeout_s: Timeout = 30.0


class VaultCustodySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A Transit key. `user_id` names it as `anima-<user_id>-auth-v1`; `key_name` names it directly."""

    address: str = ""
    mount: str = "transit"
    namespace: str = ""
    user_id: str = ""
    key_name: str = ""
    token_file: str = ""
    token_fd: Descriptor | None = None
    rotate_token_file: str = ""
    ca_file: str = ""
    client_certificate: str = ""
    client_key: str = ""
    timeout_s: Timeout = 10.0


class SomaCustodySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """somad on this machine. `agent` is the name of the keys there; empty: the name of this process's user."""

    socket: str = "/run/life/soma-admin.sock"
    agent: str = ""
    timeout_s: Timeout = 10.0


class RemoteCustodySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An oracle on another machine."""

    url: str = ""
    capability_file: str = ""
    ca_file: str = ""
    client_certificate: str = ""
    client_key: str = ""
    timeout_s: Timeout = 10.0


class HardwareWalletSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A Ledger on USB, or at `tcp` (`host:port`). `address`: the wallet that it must be."""

    path: str = "m/44'/60'/0'/0/0"
    address: str = ""
    typed_data: Literal["full", "full_or_hashed", "hashed"] = "full"
    tcp: str = ""
    confirm_s: Timeout = 60.0


class CustodySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who holds the keys."""

    backend: AuthBackend | Literal[""] = ""
    """Empty: the one that soul.json names; for a new identity `in_process`."""
    wallet_backend: WalletBackend | Literal[""] = ""
    """Empty: the same one as `backend`."""
    tpm: TpmCustodySettings = TpmCustodySettings()
    vault: VaultCustodySettings = VaultCustodySettings()
    soma: SomaCustodySettings = SomaCustodySettings()
    remote: RemoteCustodySettings = RemoteCustodySettings()
    hardware_wallet: HardwareWalletSettings = HardwareWalletSettings()


def wallet_backend_of(settings: CustodySettings, backend: AuthBackend) -> WalletBackend:
    """Who holds the wallet when `backend` holds the identity key; SettingsError when nobody is named."""
    if settings.wallet_backend:
        return settings.wallet_backend
    if backend == "vault" or backend == "web_crypto" or (backend == "tpm" and not settings.tpm.wallet_label):
        raise SettingsError(
            f"The backend {backend} holds no wallet here.",
            next_step="Name who does with custody.wallet_backend: in_process, tpm, soma, remote or hardware_wallet.",
        )
    return backend
