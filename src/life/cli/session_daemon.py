"""Sessions on a running arcand, over its HTTP and SSE API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeVar
from urllib.parse import quote

import httpx2
import msgspec

from life.aios.envelope import decode_record
from life.aios.errors import ConflictError, InvalidInputError, LifeError, NotFoundError, UnavailableError
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.working_copies import Prefer
from life.aios.record import EventRecord
from life.aios.state import SteeringMode
from life.arcan.api import EventPage, SessionView
from life.arcan.branch_api import BranchList, Merged
from life.arcan.branches import BranchInfo
from life.arcan.branching import MergeResult, RestoreResult
from life.arcan.events import DoubtDecision, RunLimits
from life.arcan.messages import QueuedReceipt
from life.arcan.people_api import Files, RunAccepted
from life.arcan.reports import RunReport
from life.arcan.sessions import SessionSummary
from life.arcan.workspace_files import WorkspaceFile
from life.cli.session_client import Answer
from life.host.access import read_token
from life.host.data_directory import DataDirectory

T = TypeVar("T")

_SILENCE_S: Final = 45.0
"""A stream without even a comment for so long is dead; the daemon sends one every 15 seconds."""

_JSON: Final = {"content-type": "application/json"}


class DaemonRefusedError(LifeError):
    """An error that the daemon answered with, under the code that it has there."""

    code = "life.daemon_refused"

    def __init__(self, message: str, *, daemon_code: str, status: int, next_step: str | None = None) -> None:
        super().__init__(message, next_step=next_step, details={"status": status})
        if daemon_code:
            vars(self)["code"] = daemon_code  # the same words and the same code, wherever the session is


class DaemonNotFoundError(DaemonRefusedError, NotFoundError):
    """404."""

    code = "life.not_found"


class DaemonConflictError(DaemonRefusedError, ConflictError):
    """409."""

    code = "life.conflict"


class DaemonInvalidError(DaemonRefusedError, InvalidInputError):
    """400."""

    code = "life.invalid_input"


_KINDS: Final[Mapping[int, type[DaemonRefusedError]]] = {
    400: DaemonInvalidError,
    404: DaemonNotFoundError,
    409: DaemonConflictError,
}


class _Problem(msgspec.Struct):
    detail: str = "The daemon gave no reason."
    code: str = ""
    next_step: str | None = None


class DaemonClient:
    """`SessionClient` over HTTP."""

    model = ""
    warnings: tuple[str, ...] = ()

    def __init__(self, http: httpx2.AsyncClient, data: DataDirectory, address: str) -> None:
        self._http = http
        self._data = data
        self.place = address

    async def open_session(self, session_id: str | None, *, name: str = "") -> SessionView:
        """See SessionClient."""
        body = {"session_id": session_id, "name": name}
        return await self._ask("POST", "/sessions", SessionView, body=body)

    async def sessions(self) -> list[SessionSummary]:
        """See SessionClient."""
        return await self._ask("GET", "/sessions", list[SessionSummary])

    async def view(self, session_id: str, branch: str) -> SessionView:
        """See SessionClient."""
        return await self._ask("GET", f"{_session(session_id)}/state", SessionView, query={"branch": branch})

    async def events(self, session_id: str, branch: str, *, after: int = 0, limit: int = 1000) -> list[EventRecord]:
        """See SessionClient."""
        query = {"branch": branch, "from_sequence": str(after + 1), "limit": str(limit)}
        page = await self._ask("GET", f"{_session(session_id)}/events", EventPage, query=query)
        return [decode_record(bytes(raw)) for raw in page.events]

    async def subscribe(self, session_id: str, branch: str, after: int) -> AsyncGenerator[EventRecord, None]:
        """See SessionClient."""
        path = f"{_session(session_id)}/events/stream"
        query = {"branch": branch, "cursor": str(after)}
        timeout = httpx2.Timeout(10.0, read=_SILENCE_S)
        self._find()
        try:
            async with self._http.stream("GET", path, params=query, timeout=timeout) as response:
                if response.status_code != 200:
                    await response.aread()
                    raise refusal(response)
                async for line in response.aiter_lines():
                    if line.startswith("data: "):
                        yield decode_record(line[6:].encode())
        except httpx2.TransportError:
            raise _gone(self.place) from None
        raise _gone(self.place)

    async def start(
        self, session_id: str, objective: str, *, branch: str, limits: RunLimits | None = None, key: str | None = None
    ) -> str:
        """See SessionClient."""
        body = {"objective": objective, "wait": False, "branch": branch, "limits": limits, "idempotency_key": key}
        return (await self._ask("POST", f"{_session(session_id)}/runs", RunAccepted, body=body)).run_id

    async def report(self, session_id: str, run_id: str, branch: str) -> RunReport:
        """See SessionClient."""
        return await self._ask("GET", f"{_session(session_id)}/runs/{run_id}", RunReport, query={"branch": branch})

    async def send(self, session_id: str, message: str, *, steering: SteeringMode, branch: str) -> QueuedReceipt:
        """See SessionClient."""
        body = {"message": message, "steering": steering}
        path = f"{_session(session_id)}/messages"
        return await self._ask("POST", path, QueuedReceipt, body=body, query={"branch": branch})

    async def begin_with_skill(self, session_id: str, text: str, branch: str) -> str:
        """See SessionClient."""
        raise InvalidInputError(
            "A daemon's API begins no skills yet.", next_step="Stop the daemon, and the shell opens the project itself."
        )

    async def withdraw(self, session_id: str, branch: str, queue_id: str) -> None:
        """See SessionClient."""
        path = f"{_session(session_id)}/queue/{quote(queue_id, safe='')}"
        await self._request("DELETE", path, query={"branch": branch})

    async def cancel(self, session_id: str, branch: str) -> None:
        """See SessionClient."""
        await self._request("POST", f"{_session(session_id)}/cancel", query={"branch": branch})

    async def resume(self, session_id: str, branch: str) -> str | None:
        """See SessionClient."""
        response = await self._request("POST", f"{_session(session_id)}/resume", query={"branch": branch})
        return None if response.content == b"null" else msgspec.json.decode(response.content, type=RunReport).run_id

    async def pause(self, session_id: str, branch: str) -> None:
        """See SessionClient."""
        await self._ask("POST", f"{_session(session_id)}/pause", RunAccepted, query={"branch": branch})

    async def go_on(self, session_id: str, branch: str) -> None:
        """See SessionClient."""
        await self._ask("POST", f"{_session(session_id)}/continue", RunAccepted, query={"branch": branch})

    async def decide(self, session_id: str, branch: str, approval_id: str, answer: Answer) -> None:
        """See SessionClient."""
        path = f"{_session(session_id)}/approvals/{quote(approval_id, safe='')}"
        await self._ask("POST", path, RunAccepted, body=answer, query={"branch": branch})

    async def resolve_doubt(
        self, session_id: str, branch: str, call_id: str, decision: DoubtDecision, note: str
    ) -> None:
        """See SessionClient."""
        path = f"{_session(session_id)}/doubts/{quote(call_id, safe='')}"
        body = {"decision": decision, "note": note}
        await self._ask("POST", path, RunAccepted, body=body, query={"branch": branch})

    async def revoke_rule(self, session_id: str, branch: str, rule_id: str) -> None:
        """See SessionClient."""
        path = f"{_session(session_id)}/rules/{quote(rule_id, safe='')}"
        await self._request("DELETE", path, query={"branch": branch})

    async def set_model(self, session_id: str, specification: str, branch: str) -> None:
        """See SessionClient."""
        if branch != MAIN_BRANCH:
            raise InvalidInputError("Over HTTP only the main branch's model can be chosen.")
        await self._ask("PUT", f"{_session(session_id)}/provider", SessionView, body={"provider": specification})

    async def branches(self, session_id: str) -> list[BranchInfo]:
        """See SessionClient."""
        return (await self._ask("GET", f"{_session(session_id)}/branches", BranchList)).branches

    async def fork(self, session_id: str, name: str, *, parent: str, at: int | None = None) -> BranchInfo:
        """See SessionClient."""
        body = {"branch": name, "from_branch": parent, "fork_sequence": at}
        return await self._ask("POST", f"{_session(session_id)}/branches", BranchInfo, body=body)

    async def fork_before(self, session_id: str, message_sequence: int, *, branch: str) -> BranchInfo:
        """See SessionClient."""
        body = {"from_branch": branch, "before_message": message_sequence}
        return await self._ask("POST", f"{_session(session_id)}/branches", BranchInfo, body=body)

    async def merge(self, session_id: str, source: str, *, into: str, prefer: Prefer | None = None) -> MergeResult:
        """See SessionClient."""
        path = f"{_session(session_id)}/branches/{quote(source, safe='')}/merge"
        return (await self._ask("POST", path, Merged, body={"target_branch": into, "prefer": prefer})).result

    async def restore(self, session_id: str, to_sequence: int, *, branch: str) -> RestoreResult:
        """See SessionClient."""
        body = {"to_sequence": to_sequence, "branch": branch}
        return await self._ask("POST", f"{_session(session_id)}/restore", RestoreResult, body=body)

    async def files(self, session_id: str, branch: str) -> Sequence[WorkspaceFile]:
        """See SessionClient."""
        return (await self._ask("GET", f"{_session(session_id)}/files", Files, query={"branch": branch})).files

    async def file(self, session_id: str, branch: str, path: str) -> bytes:
        """See SessionClient."""
        response = await self._request("GET", f"{_session(session_id)}/files/{quote(path)}", query={"branch": branch})
        return response.content

    async def delete(self, session_id: str) -> None:
        """See SessionClient."""
        await self._request("DELETE", _session(session_id))

    async def ask(
        self, method: str, path: str, kind: type[T], *, body: object = None, query: Mapping[str, str] | None = None
    ) -> T:
        """Any other route of the daemon that answers JSON."""
        return await self._ask(method, path, kind, body=body, query=query)

    async def bytes_of(self, path: str, *, query: Mapping[str, str] | None = None) -> bytes:
        """What a route of the daemon answers."""
        return (await self._request("GET", path, query=query)).content

    def _find(self) -> None:
        """The token goes only to whoever holds the data directory's lock, and to where that says it listens."""
        address = self._data.address_of("arcand")
        if address is None:
            raise _gone(self.place)
        if address != self.place:
            self.place = address
            self._http.base_url = address

    async def _ask(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        body: object = None,
        query: Mapping[str, str] | None = None,
    ) -> T:
        response = await self._request(method, path, body=body, query=query)
        try:
            return msgspec.json.decode(response.content, type=kind)
        except msgspec.DecodeError as unfit:
            raise UnavailableError(
                f"The daemon at {self.place} answers in a way that this version does not understand: {unfit}.",
                next_step="Restart the daemon with this version.",
            ) from None

    async def _request(
        self, method: str, path: str, *, body: object = None, query: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        content = None if body is None else msgspec.json.encode(body)
        headers = None if body is None else _JSON
        self._find()
        try:
            response = await self._http.request(method, path, content=content, headers=headers, params=query)
        except httpx2.TransportError:
            raise _gone(self.place) from None
        if response.status_code >= 300:
            raise refusal(response)
        return response


@asynccontextmanager
async def open_daemon_client(data: DataDirectory, address: str) -> AsyncIterator[DaemonClient]:
    """A client of the daemon that holds the data directory's lock."""
    headers = {"authorization": f"Bearer {read_token(data.token)}"}
    limits = httpx2.Limits(max_connections=8)
    async with httpx2.AsyncClient(
        base_url=address, headers=headers, timeout=60.0, trust_env=False, limits=limits
    ) as http:
        client = DaemonClient(http, data, address)
        await asyncio.wait_for(client.sessions(), timeout=60)  # says at once when it does not answer
        yield client


def _session(session_id: str) -> str:
    return f"/sessions/{quote(session_id, safe='')}"


def _gone(address: str) -> UnavailableError:
    return UnavailableError(f"The daemon at {address} does not answer.", next_step="Start it again with `life up`.")


def refusal(response: httpx2.Response) -> LifeError:
    """The error that an answer tells of."""
    try:
        problem = msgspec.json.decode(response.content, type=_Problem)
    except msgspec.DecodeError:
        problem = _Problem(f"The daemon answered with status {response.status_code}.")
    status = response.status_code
    kind = _KINDS.get(status, DaemonRefusedError)
    return kind(problem.detail, daemon_code=problem.code, status=status, next_step=problem.next_step)
