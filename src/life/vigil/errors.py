"""What can be wrong with telemetry. None of it ever reaches a run: start warns and goes on (vigil.md §23.7).

LifeError
└── VigilError                 vigil.error
    ├── TelemetrySettingError  vigil.setting
    └── TelemetryExportError   vigil.export      when somebody asked for an export and waits for it (`life trace --to`)
"""

from __future__ import annotations

from life.aios.errors import LifeError


class VigilError(LifeError):
    """Telemetry can't do what it was asked for."""

    code = "vigil.error"
    status = 500


class TelemetrySettingError(VigilError):
    """A setting of telemetry can't be meant."""

    code = "vigil.setting"
    status = 400


class TelemetryExportError(VigilError):
    """The receiver did not take what it was sent."""

    code = "vigil.export"
    status = 502
