"""What hiring refuses.

SpacesError
├── HireRefusedError     spaces.hire_refused     409  the offer, the peer or the state of the hire does not allow it
├── NoHouseError         spaces.no_house         409  nobody holds money in escrow here
└── OfferForgedError     spaces.offer_forged     409  what the task says is not what was agreed on at the house, or is not signed by its maker
"""

from __future__ import annotations

from life.spaces.errors import SpacesError


class HireRefusedError(SpacesError):
    """It can't be done to this hire, or not now."""

    code = "spaces.hire_refused"
    status = 409


class NoHouseError(SpacesError):
    """There is nobody who holds money in escrow."""

    code = "spaces.no_house"
    status = 409


class OfferForgedError(SpacesError):
    """The offer is not the one that the money was put aside for, or its signature is not its maker's."""

    code = "spaces.offer_forged"
    status = 409
