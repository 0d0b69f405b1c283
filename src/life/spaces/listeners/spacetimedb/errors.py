"""What this listener refuses, beside the errors of Spaces.

SpacesError
├── MalformedMessageError     spaces.malformed_message     400  bytes that are no message; the connection ends
├── UnsupportedSqlError       spaces.unsupported_sql       400  a query beyond the subset; nothing else happens
└── UnsupportedRequestError   spaces.unsupported_request   400  a part of the protocol that Spaces has no use for
"""

from __future__ import annotations

from life.spaces.errors import SpacesError


class MalformedMessageError(SpacesError):
    """Bytes that are not of the protocol."""

    code = "spaces.malformed_message"
    status = 400


class UnsupportedSqlError(SpacesError):
    """A query that is not `SELECT * FROM table [WHERE column = literal [AND …]]`."""

    code = "spaces.unsupported_sql"
    status = 400


class UnsupportedRequestError(SpacesError):
    """Something that SpacetimeDB has and Spaces does not."""

    code = "spaces.unsupported_request"
    status = 400
