"""Who asks over HTTP, as the desks see it (HM-API, W23, W31).

The host knows how callers prove who they are; it hands in a function that gives the `Subject` of a request. An operator may
act for any agent or customer of its house, because the house is its own; everybody else acts for themselves only.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request

from life.haima.errors import RoleRefusedError
from life.haima.outcomes.answers import Subject

OPERATOR_ROLE = "operator"

SubjectReader = Callable[[Request], Subject]
"""Who made a request; never anonymous, the host refuses those before."""


def acting_for(caller: Subject, name: str) -> Subject:
    """The caller as `name`; RoleRefusedError when it is somebody else's name."""
    if caller.id != name and OPERATOR_ROLE not in caller.roles:
        raise RoleRefusedError(f"Only {name[:128]} or an operator may do this.")
    return Subject(name, caller.roles)


def require_role(caller: Subject, role: str) -> None:
    """RoleRefusedError unless the caller has the role, or is an operator."""
    if role not in caller.roles and OPERATOR_ROLE not in caller.roles:
        raise RoleRefusedError(f"This needs the role {role}.")
