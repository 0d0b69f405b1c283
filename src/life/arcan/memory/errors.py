"""What memory refuses.

ArcanError                     arcan.error                (life.arcan.errors)
├── MemoryNotFoundError        arcan.memory_not_found     404  not there, or not for this caller
├── MemoryNotYoursError        arcan.memory_not_permitted 403  the operator decides about this scope
└── MemoryRefusedError         arcan.memory_refused       400  a secret, empty, or too long
"""

from __future__ import annotations

from life.arcan.errors import ArcanError


class MemoryNotFoundError(ArcanError):
    """There is no such memory or proposal in the scopes of this caller."""

    code = "arcan.memory_not_found"
    status = 404

    def __init__(self, what: str) -> None:
        super().__init__(f"There is no {what} here.", details={"what": what})


class MemoryNotYoursError(ArcanError):
    """What all users of an agent or an organisation would see is taken over by the operator."""

    code = "arcan.memory_not_permitted"
    status = 403

    def __init__(self, scope: str) -> None:
        super().__init__(
            f"Memory of the scope '{scope}' is decided about by the operator.",
            next_step="life memory list --proposals shows what waits; life memory commit takes it over.",
            details={"scope": scope},
        )


class MemoryRefusedError(ArcanError):
    """This can't be remembered."""

    code = "arcan.memory_refused"
    status = 400
