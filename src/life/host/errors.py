"""What can go wrong while the parts are put together or a daemon runs.

HostError                    host.error
├── SettingsError            host.invalid_setting      400
├── DataDirectoryError       host.data_directory       500   not writable, not ours
├── DataDirectoryLockedError host.data_directory_locked 409  another daemon works there
├── BindRefusedError         host.bind_refused         400   not loopback, and neither TLS nor a proxy
├── UnauthorizedError        host.unauthorized         401
└── ForbiddenError           host.forbidden            403   foreign Host or Origin
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
