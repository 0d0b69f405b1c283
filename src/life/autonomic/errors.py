"""What can go wrong in homeostasis.

AutonomicError                  autonomic.error
├── RegulatorBehindError        autonomic.regulator_behind       503  it has not read the journal up to now, or can't
├── RegulatorUnavailableError   autonomic.regulator_unavailable  503  the daemon that regulates can't be asked
└── ScenarioError               autonomic.bad_scenario           400  a scenario that can't be played
"""

from __future__ import annotations

from life.aios.errors import LifeError


class AutonomicError(LifeError):
    """Root of the errors of homeostasis."""

    code = "autonomic.error"


class RegulatorBehindError(AutonomicError):
    """The regulator has not read the journal up to now, or can't any more."""

    code = "autonomic.regulator_behind"
    status = 503
    retryable = True


class RegulatorUnavailableError(AutonomicError):
    """The daemon that regulates can't be asked."""

    code = "autonomic.regulator_unavailable"
    status = 503
    retryable = True


class ScenarioError(AutonomicError):
    """A scenario that can't be played."""

    code = "autonomic.bad_scenario"
    status = 400
