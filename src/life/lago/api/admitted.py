"""What every request passes before its route: the quota of calls, then the policy.

A request is the tool `http.<resource>.<action>` of the category `http`, with a risk: reading is low, writing medium, deleting high. The resource
is what the address ends in, so `/v1/sessions/{id}/snapshots` is `http.snapshots.create`. An approval is shown in `Life-Approval`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from life.aios.ports.http import Operation
from life.lago.access_rules.conditions import Request as PolicyRequest
from life.lago.access_rules.gate import PolicyGate
from life.lago.api.callers import CallerReader
from life.lago.owners.registry import Owners

APPROVAL_HEADER: Final = "life-approval"
CATEGORY: Final = "http"
_ACTIONS: Final = {"GET": "read", "PUT": "write", "POST": "create", "DELETE": "delete", "PATCH": "patch"}
_RISKS: Final = {"GET": "low", "DELETE": "high"}

LagoOperation = Operation[Request, Response]


def tool_of(operation: LagoOperation) -> str:
    """The name under which the policy knows an operation."""
    parts = [part for part in operation.path.split("/") if part and not part.startswith("{") and part != "v1"]
    # A caller's own files are not a session's: a policy may tell them apart.
    resource = "memory" if parts[0] == "memory" and parts[-1] in ("files", "manifest") else parts[-1]
    return f"http.{resource}.{_ACTIONS[operation.method]}"


def admitted(
    operations: Sequence[LagoOperation], gate: PolicyGate, owners: Owners, caller: CallerReader
) -> list[LagoOperation]:
    """The operations behind the gate. Those without a scope are public and pass."""
    return [
        operation if operation.scope is None else operation._replace(endpoint=_behind(operation, gate, owners, caller))
        for operation in operations
    ]


def _behind(
    operation: LagoOperation, gate: PolicyGate, owners: Owners, caller: CallerReader
) -> Callable[[Request], Awaitable[Response]]:
    tool, risk, endpoint = tool_of(operation), _RISKS.get(operation.method, "medium"), operation.endpoint

    async def admit(request: Request) -> Response:
        who = caller(request)
        await owners.count_call(who.owner)
        wanted = PolicyRequest(
            tool_name=tool,
            subject=who.owner,
            arguments={"path": request.url.path[:2048], "query": str(request.url.query)[:2048]},
            category=CATEGORY,
            risk=risk,
            session_id=str(request.path_params.get("session_id", "")),
        )
        await gate.check(wanted, reads_only=operation.method == "GET", approval_id=request.headers.get(APPROVAL_HEADER))
        return await endpoint(request)

    return admit
