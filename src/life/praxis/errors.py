"""What a tool may answer instead of a result. The model reads the text; programs branch on the code.

    ToolError                       praxis.tool_failed        500  (root, in life.aios.errors)
    ├── ToolNotFoundError           praxis.not_found          404  no such tool
    ├── ToolInputError              praxis.invalid_input      400  the arguments do not fit the schema or make no sense
    ├── ToolTimeoutError            praxis.timeout            504  the tool did not end in its time
    ├── DuplicateToolError          praxis.duplicate_tool     409  a tool of that name is registered already
    ├── PolicyViolationError        praxis.policy_violation   403  the place or the size is closed to tools
    │   ├── WriteQuotaError         praxis.write_quota        507  more bytes written than the policy grants
    │   └── OutsideWorkspaceError   praxis.outside_workspace  403  the path leaves, or may leave, the workspace
    ├── WorkspaceUnavailableError   praxis.workspace_unavailable 503 the session's directory can't be opened
    ├── PathNotFoundError           praxis.path_not_found     404  nothing at that path of the workspace
    ├── WrongFileKindError          praxis.wrong_file_kind    409  a directory for a file, a device, a FIFO, …
    ├── NotTextError                praxis.not_text           415  the bytes are not UTF-8
    ├── TooLargeError               praxis.too_large          413
    ├── FileAccessError             praxis.file_access        500  the operating system refused (permission, disk full)
    ├── FileChangedError            praxis.file_changed       409  somebody else changed the file during the call
    ├── StaleTagError               praxis.stale_tag          409  no line of the file has the tag (any more)
    ├── AmbiguousTagError           praxis.ambiguous_tag      409  several lines of the file have the tag
    ├── EmptyContentError           praxis.empty_content      409  a tag for a file without lines
    ├── ResultNotFoundError         praxis.result_not_found   404  no stored result of this session
    ├── SchemaError                 praxis.unusable_function  500  a function that can't be made a tool
    ├── AddressRefusedError         praxis.address_refused    403  a private or reserved network address
    ├── FetchError                  praxis.fetch_failed       502  the HTTP exchange did not come to an end
    ├── McpError                  praxis.mcp                500  something about MCP servers
    │   ├── McpConfigError        praxis.mcp_config         400  the file of servers, or an entry in it
    │   ├── McpTrustError         praxis.mcp_trust_file     500  the file of what was accepted
    │   ├── McpNotAcceptedError   praxis.mcp_not_accepted   403  no person has accepted it as it is now
    │   ├── McpUnavailableError   praxis.mcp_unavailable    503  not reachable; nothing was sent
    │   ├── McpLostError          praxis.mcp_lost           502  lost before the answer: the effect is in doubt
    │   ├── McpProtocolError      praxis.mcp_protocol       502  an error of the server's
    │   └── McpSignInError        praxis.mcp_sign_in        401  OAuth did not succeed
    ├── SkillError                praxis.skill              400  a skill can't be used
    │   ├── SkillNotFoundError    praxis.skill_not_found    404
    │   └── SkillSignatureError   praxis.skill_signature    403
    └── SandboxError                praxis.sandbox            500  the command could not be started in its sandbox
        └── SandboxUnavailableError praxis.sandbox_unavailable 503 the chosen sandbox does not work on this machine

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


class WriteQuotaError(PolicyViolationError):
    """The tools have written as much as the policy grants, or the disk would be nearly full."""

    code = "praxis.write_quota"
    status = 507


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


class FileChangedError(ToolError):
    """Somebody else changed the file between reading and writing it. Nothing was written."""

    code = "praxis.file_changed"
    status = 409
    retryable = True


class StaleTagError(ToolError):
    """No line of the file has this tag: it changed, moved or is gone, or the tag is mistyped. Nothing was written."""

    code = "praxis.stale_tag"
    status = 409

    def __init__(self, message: str, *, tag: str) -> None:
        super().__init__(message, next_step="Take the tags from the lines shown, or read the file again.")
        self.tag = tag


class AmbiguousTagError(ToolError):
    """Several lines of the file have this tag (a collision of 32 bits). Nothing was written."""

    code = "praxis.ambiguous_tag"
    status = 409


class EmptyContentError(ToolError):
    """The file has no line that a tag could name. Nothing was written."""

    code = "praxis.empty_content"
    status = 409


class ResultNotFoundError(ToolError):
    """No result of this session is stored under this hash."""

    code = "praxis.result_not_found"
    status = 404


class SchemaError(ToolError):
    """A function that can't be made a tool: a parameter without a type, a type without a JSON form, no docstring."""

    code = "praxis.unusable_function"


class AddressRefusedError(ToolError):
    """The host is, or resolves to, an address that tools may not reach."""

    code = "praxis.address_refused"
    status = 403


class FetchError(ToolError):
    """The HTTP exchange did not come to an end; the message says whether the request may have been received."""

    code = "praxis.fetch_failed"
    status = 502


class SandboxError(ToolError):
    """The command could not be started in its sandbox. It did not run."""

    code = "praxis.sandbox"


class SandboxUnavailableError(SandboxError):
    """The chosen sandbox does not work on this machine, or can't do what the settings ask of it."""

    code = "praxis.sandbox_unavailable"
    status = 503


class McpError(ToolError):
    """Something about MCP servers."""

    code = "praxis.mcp"


class McpConfigError(McpError):
    """The file of MCP servers, or an entry in it, can't be used."""

    code = "praxis.mcp_config"
    status = 400


class McpTrustError(McpError):
    """The file of what was accepted can't be read, written or believed."""

    code = "praxis.mcp_trust_file"


class McpNotAcceptedError(McpError):
    """No person has accepted this server, or this tool as it is now."""

    code = "praxis.mcp_not_accepted"
    status = 403


class McpUnavailableError(McpError):
    """The server can't be reached or started now; nothing was sent to it."""

    code = "praxis.mcp_unavailable"
    status = 503
    retryable = True


class McpLostError(McpError):
    """The connection ended before the answer came: the call may or may not have taken effect."""

    code = "praxis.mcp_lost"
    status = 502


class McpProtocolError(McpError):
    """The server answered with an error, or not in the protocol."""

    code = "praxis.mcp_protocol"
    status = 502
    rpc_code: int | None = None
    """The code of its JSON-RPC error, when it answered with one."""


class McpSignInError(McpError):
    """Signing in at the server's authorization server did not succeed."""

    code = "praxis.mcp_sign_in"
    status = 401


class SkillError(ToolError):
    """A skill can't be used; the message says why."""

    code = "praxis.skill"
    status = 400


class SkillNotFoundError(SkillError):
    """There is no skill of this name that may be activated here."""

    code = "praxis.skill_not_found"
    status = 404


class SkillSignatureError(SkillError):
    """The signature does not fit the files, or is nobody's whom the operator trusts."""

    code = "praxis.skill_signature"
    status = 403
