"""What a key store that is not this process can refuse, beside the kinds of anima.md §11.2 in `life.anima.errors`.

    CustodyUnavailableError            custody.unavailable        503  try again later
    ├── KeyStoreSealedError            custody.sealed             503  Vault is up, but nobody has unsealed it
    ├── TokenRemovedError              custody.token_removed      503  the device, or the service behind it, is gone
    └── RateLimitedError               custody.rate_limited       429  more calls than the oracle's policy allows
    CustodyError                       custody.error
    └── KeyNotProtectedError           custody.key_not_protected  403  the store would hand the private key out (AN-TPM-2)

A wrong PIN or token is CustodyAuthFailedError, a device that locked itself CustodyLockedError.
"""

from __future__ import annotations

from life.aios.errors import CustodyError
from life.anima.errors import CustodyUnavailableError


class KeyStoreSealedError(CustodyUnavailableError):
    """The key server answers, but its store is sealed: a person has to unseal it."""

    code = "custody.sealed"


class TokenRemovedError(CustodyUnavailableError):
    """The token was taken out, or the service behind it ended. Nothing was signed."""

    code = "custody.token_removed"


class WrongAppError(CustodyUnavailableError):
    """The device is there, but the Ethereum app is not open on it, or is too old for this request."""

    code = "custody.wrong_app"


class PageClosedError(CustodyUnavailableError):
    """The browser page closed before it answered. Nothing was signed."""

    code = "custody.page_closed"


class KeyNotProtectedError(CustodyError):
    """The private key is readable, copyable or was not made inside the token, so it is not used."""

    code = "custody.key_not_protected"
    status = 403


class RateLimitedError(CustodyUnavailableError):
    """The oracle's policy allows this caller fewer calls, or fewer connections. Nothing was signed."""

    code = "custody.rate_limited"
    status = 429


class WrongDeviceError(CustodyError):
    """The device answers for another wallet than the configured one: another device, seed, passphrase or path."""

    code = "custody.wrong_device"
    status = 409


class BlindSigningOffError(CustodyError):
    """The device's setting "blind signing" is off, and it does not sign this without."""

    code = "custody.blind_signing_off"
    status = 403


class CeremonyRefusedError(CustodyError):
    """A passkey's registration or assertion that does not prove what it is shown for. `details["reason"]` is a stable word."""

    code = "custody.ceremony_refused"
    status = 403

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message, details={"reason": reason})
        self.reason = reason
