"""What can go wrong with demos.

DemoError                        demo.error
├── DemoNotFoundError            demo.not_found          404
├── DemoRecordingMissingError    demo.recording_missing  404
├── DemoDataError                demo.data               500   a demo's file does not fit
├── DemoUnavailableError         demo.unavailable        409   this machine, or this project's settings, can't play it
└── RecordingReadOnlyError       demo.recording_read_only 409  a recording is looked at, not written to
"""

from __future__ import annotations

from life.aios.errors import LifeError


class DemoError(LifeError):
    """The root of the demos' errors."""

    code = "demo.error"


class DemoNotFoundError(DemoError):
    """There is no demo of this name."""

    code = "demo.not_found"
    status = 404


class DemoRecordingMissingError(DemoError):
    """The demo has no recording."""

    code = "demo.recording_missing"
    status = 404


class DemoDataError(DemoError):
    """A demo's file, or its recording, is not what it should be."""

    code = "demo.data"


class DemoUnavailableError(DemoError):
    """The demo can't be played here; its recording can be watched."""

    code = "demo.unavailable"
    status = 409


class RecordingReadOnlyError(DemoError):
    """Nothing is added to a recording."""

    code = "demo.recording_read_only"
    status = 409
