"""Which backends there are, what each can do, and whether this machine has what it needs: `life identity backends`."""

from __future__ import annotations

import importlib.util
import stat
from pathlib import Path
from typing import Final

import msgspec

from life.aios.ports.custody import BackendKind
from life.host.custody_settings import CustodySettings

_MODULES: Final = (
    "softhsm/libsofthsm2.so",
    "*/softhsm/libsofthsm2.so",
    "*/pkcs11/libtpm2_pkcs11.so",
    "*/libtpm2_pkcs11.so*",
)


class BackendEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table."""

    backend: BackendKind
    available: bool
    """Whether this machine has what the backend needs. Whether it works is what `life identity doctor` finds out."""
    identity_key: bool
    wallet: bool
    confirmed_by_a_person: bool
    rotation: str
    """From where its identity key is rotated."""
    chosen: bool
    note: str


def backend_table(settings: CustodySettings, current: BackendKind | None) -> tuple[BackendEntry, ...]:
    """Every backend. `current` is the one that the identity names."""
    chosen = {settings.backend or current or "in_process", settings.wallet_backend}

    def entry(
        backend: BackendKind, note: str, missing: str, *, auth: bool, wallet: bool, confirmed: bool, rotation: str
    ) -> BackendEntry:
        return BackendEntry(
            backend=backend,
            available=not missing,
            identity_key=auth,
            wallet=wallet,
            confirmed_by_a_person=confirmed,
            rotation=rotation,
            chosen=backend in chosen,
            note=missing or note,
        )

    pkcs11 = "" if _has("pkcs11") else "needs the extra 'pkcs11': pip install 'lifeos[pkcs11]'"
    hid = "" if _has("hid") or settings.hardware_wallet.tcp else "needs the Python package hidapi, or a device over TCP"
    web = "" if _has("webauthn") else "needs the Python package webauthn"
    return (
        entry(
            "in_process",
            "keys in this process's memory, sealed on disk",
            "",
            auth=True,
            wallet=True,
            confirmed=False,
            rotation="here",
        ),
        entry("tpm", _modules(), pkcs11, auth=True, wallet=True, confirmed=False, rotation="here"),
        entry(
            "vault",
            "Vault or OpenBao, by HTTP; the wallet is another backend's",
            "",
            auth=True,
            wallet=False,
            confirmed=False,
            rotation="here, with a second token",
        ),
        entry(
            "soma",
            f"somad listens at {settings.soma.socket}",
            _without_socket(Path(settings.soma.socket)),
            auth=True,
            wallet=True,
            confirmed=False,
            rotation="here, where the policy allows it",
        ),
        entry(
            "remote",
            "an oracle on another machine, by a permit",
            "",
            auth=True,
            wallet=True,
            confirmed=False,
            rotation="here, where the policy allows it",
        ),
        entry(
            "hardware_wallet",
            "a Ledger; the identity key is another backend's",
            hid,
            auth=False,
            wallet=True,
            confirmed=True,
            rotation="never",
        ),
        entry(
            "web_crypto",
            "a browser's device key behind a passkey; the wallet is another backend's",
            web,
            auth=True,
            wallet=False,
            confirmed=True,
            rotation="by enrolling another browser",
        ),
    )


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _modules() -> str:
    """The PKCS#11 modules that are usual on Debian."""
    found = {str(path) for pattern in _MODULES for path in Path("/usr/lib").glob(pattern)}
    return f"modules here: {', '.join(sorted(found))}" if found else "a TPM or token by PKCS#11; no module in /usr/lib"


def _without_socket(path: Path) -> str:
    try:
        is_socket = stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        is_socket = False
    return "" if is_socket else f"nobody listens at {path}"
