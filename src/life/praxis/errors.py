"""What a tool may answer instead of a result. The model reads the text; programs branch on the code.

    ToolError                       praxis.tool_failed        500  (root, in life.aios.errors)
    ├── ToolNotFoundError           praxis.not_found          404  no such tool
    ├── ToolInputError              praxis.invalid_input      400  the arguments do not fit the schema or make no sense
    ├── ToolTimeoutError            praxis.timeout            504  the tool did not end in its time
    ├── DuplicateToolError          praxis.duplicate_tool     409  a tool of that name is registered already
    ├── PolicyViolationError        praxis.policy_violation   403  the place or the size is closed to tools
    │   └── OutsideWorkspaceError   praxis.outside_workspace  403  the path leaves, or may leave, the workspace
    ├── WorkspaceUnavailableError   praxis.workspace_unavailable 503 the session's directory can't be opened
    ├── PathNotFoundError           praxis.path_not_found     404  nothing at that path of the workspace
    ├── WrongFileKindError          praxis.wrong_file_kind    409  a directory for a file, a device, a FIFO, …
    ├── NotTextError                praxis.not_text           415  the bytes are not UTF-8
    ├── TooLargeError               praxis.too_large          413
    ├── FileAccessError             praxis.file_access        500  the operating system refused (permission, disk full)
    ├── AddressRefusedError         praxis.address_refused    403  a private or reserved network address
    └── FetchError                  praxis.fetch_failed       502  the HTTP exchange did not come to an end

Messages name paths relative to the workspace only, never a place on the host, and say nothing about what exists outside.
"""

from __future__ import annotations

from life.aios.errors import ToolError


class ToolNotFoundError(ToolError):
    """No tool of this name is registered."""

    code = "praxis.not_found"
    status = 404


class ToolInputError(ToolError):
    """The arguments do not fit the tool's schema, or can't mean anything."""

    code = "praxis.invalid_input"
    status = 400


class ToolTimeoutError(ToolError):
    """The tool did not come to an end within its time."""

    code = "praxis.timeout"
    status = 504


class DuplicateToolError(ToolError):
    """A tool of this name is registered already and replacing it was not asked for."""

    code = "praxis.duplicate_tool"
    status = 409


class PolicyViolationError(ToolError):
    """The operator has closed this place, method or size to tools."""

    code = "praxis.policy_violation"
    status = 403


class OutsideWorkspaceError(PolicyViolationError):
    """The path leaves the workspace, or goes through a link that could leave it."""

    code = "praxis.outside_workspace"


class WorkspaceUnavailableError(ToolError):
    """The session's directory is missing or can't be opened."""

    code = "praxis.workspace_unavailable"
    status = 503
    retryable = True


class PathNotFoundError(ToolError):
    """Nothing is at this path of the workspace."""

    code = "praxis.path_not_found"
    status = 404


class WrongFileKindError(ToolError):
    """Something is there, but not of the kind the tool works on."""

    code = "praxis.wrong_file_kind"
    status = 409


class NotTextError(ToolError):
    """The bytes are not UTF-8 text."""

    code = "praxis.not_text"
    status = 415


class TooLargeError(ToolError):
    """More bytes than the tool takes."""

    code = "praxis.too_large"
    status = 413


class FileAccessError(ToolError):
    """The operating system refused: permission, disk full, too many open files."""

    code = "praxis.file_access"


class AddressRefusedError(ToolError):
    """The host is, or resolves to, an address that tools may not reach."""

    code = "praxis.address_refused"
    status = 403


class FetchError(ToolError):
    """The HTTP exchange did not come to an end; the message says whether the request may have been received."""

    code = "praxis.fetch_failed"
    status = 502
