"""What can go wrong while the parts are put together or a daemon runs.

HostError                    host.error
├── SettingsError            host.invalid_setting      400
├── DataDirectoryError       host.data_directory       500   not writable, not ours
├── DataDirectoryLockedError host.data_directory_locked 409  another daemon works there
├── BindRefusedError         host.bind_refused         400   not loopback, and neither TLS nor a proxy
├── UnauthorizedError        host.unauthorized         401
├── ForbiddenError           host.forbidden            403   foreign Host or Origin
├── ModelKeysUnavailableError host.model_keys_unavailable 409  keys can't be sealed or opened here
├── ModelKeyMissingError     host.model_key_missing    409   nothing to test
├── ModelKeyRefusedError     host.model_key_refused    422   the vendor does not accept the key
├── ModelTestFailedError     host.model_test_failed    502   the vendor says something else is wrong
├── ModelVendorUnreachableError host.model_vendor_unreachable 503 no answer
└── TooManyTestsError        host.too_many_tests       429
"""

from __future__ import annotations

from life.aios.errors import LifeError


class HostError(LifeError):
    """The root of the composition's errors."""

    code = "host.error"


class SettingsError(HostError):
    """A setting that is unknown or can't be right."""

    code = "host.invalid_setting"
    status = 400


class DataDirectoryError(HostError):
    """The data directory can't be used."""

    code = "host.data_directory"


class DataDirectoryLockedError(HostError):
    """Another daemon already works in this data directory."""

    code = "host.data_directory_locked"
    status = 409
    retryable = True


class BindRefusedError(HostError):
    """Listening beyond this machine without TLS or a proxy in front."""

    code = "host.bind_refused"
    status = 400


class UnauthorizedError(HostError):
    """No valid token, link or login."""

    code = "host.unauthorized"
    status = 401


class ForbiddenError(HostError):
    """A Host or Origin that is not ours: a page elsewhere is trying to use this daemon."""

    code = "host.forbidden"
    status = 403


class ModelKeysUnavailableError(HostError):
    """Model keys can't be sealed or opened here: no seed to derive a key from, or the file is not what it was."""

    code = "host.model_keys_unavailable"
    status = 409


class ModelKeyMissingError(HostError):
    """No key of this provider is in force."""

    code = "host.model_key_missing"
    status = 409


class ModelKeyRefusedError(HostError):
    """The vendor does not accept the key."""

    code = "host.model_key_refused"
    status = 422


class ModelTestFailedError(HostError):
    """The vendor answered the test with another error: no credit, a model that it does not have, a limit."""

    code = "host.model_test_failed"
    status = 502


class ModelVendorUnreachableError(HostError):
    """The vendor gave no answer to the test in time."""

    code = "host.model_vendor_unreachable"
    status = 503
    retryable = True


class TooManyTestsError(HostError):
    """Keys were tested too often within a minute."""

    code = "host.too_many_tests"
    status = 429
    retryable = True
