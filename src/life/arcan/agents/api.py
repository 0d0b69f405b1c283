"""The routes for agents: which there are, running one, and the tree of runs below a session (docs/subagents.md)."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.json import Json
from life.aios.ports.http import Operation
from life.aios.record import Actor
from life.arcan.agents.definition import AgentDefinition
from life.arcan.agents.fleet import FleetNode, read_fleet
from life.arcan.agents.running import start_agent
from life.arcan.http_requests import BRANCH, answer_json, branch_of, read_body
from life.arcan.people_api import SCOPE, Callers, RunAccepted
from life.arcan.runtime import Runtime


class AgentSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One agent. Where its file is stays with the operator."""

    name: str
    description: str
    model: str
    max_turns: int
    allowed_tools: tuple[str, ...] | None
    input_schema: Json
    output_schema: Json
    digest: str


class AgentProblem(msgspec.Struct, frozen=True, kw_only=True):
    """A file that gives no agent."""

    file: str
    reason: str


class AgentList(msgspec.Struct, frozen=True, kw_only=True):
    """All agents, by name, and the files that give none."""

    agents: list[AgentSummary]
    problems: list[AgentProblem]


class NewAgentRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /agents/{name}/runs."""

    input: Json
    session_id: str | None = None


class AgentApi:
    """The handlers over one runtime."""

    def __init__(self, runtime: Runtime, callers: Callers) -> None:
        self._runtime = runtime
        self._callers = callers

    def operations(self) -> list[Operation[Request, Response]]:
        """The routes."""
        own = [
            Operation("GET", "/agents", "The agents that can be run", self.list, None, AgentList),
            Operation("GET", "/agents/{name}", "One agent", self.show, None, AgentSummary, errors=(404,)),
            Operation(
                "POST",
                "/agents/{name}/runs",
                "Run an agent on an input, in a session of its own",
                self.run,
                NewAgentRun,
                RunAccepted,
                status=202,
                errors=(400, 404, 409),
            ),
            Operation(
                "GET",
                "/sessions/{session_id}/fleet",
                "The session, the agents that work for it, and theirs, with what each used",
                self.fleet,
                None,
                FleetNode,
                query=(BRANCH,),
                errors=(404,),
            ),
        ]
        return [operation._replace(scope=SCOPE) for operation in own]

    async def list(self, _: Request) -> Response:
        """GET /agents."""
        agents = self._runtime.agents
        problems = [AgentProblem(file=bad.path.rpartition("/")[2], reason=bad.reason) for bad in agents.problems]
        return answer_json(AgentList(agents=[_summary(agent) for agent in agents.agents], problems=problems))

    async def show(self, request: Request) -> Response:
        """GET /agents/{name}."""
        return answer_json(_summary(self._runtime.agents.get(str(request.path_params["name"]))))

    async def run(self, request: Request) -> Response:
        """POST /agents/{name}/runs."""
        body = await read_body(request, NewAgentRun)
        begun = await start_agent(
            self._runtime,
            str(request.path_params["name"]),
            body.input,
            session_id=body.session_id,
            owner=self._callers.owner_of(request) or "",
            actor=Actor("user", self._callers.actor_of(request)),
        )
        return answer_json(RunAccepted(session_id=begun.session_id, run_id=begun.run_id), 202)

    async def fleet(self, request: Request) -> Response:
        """GET /sessions/{session_id}/fleet."""
        session_id = await self._callers.session(request)
        parts = self._runtime.parts
        tree = await read_fleet(parts.journal, session_id, parts.clock.now_us(), branch=branch_of(request))
        return answer_json(tree)


def _summary(agent: AgentDefinition) -> AgentSummary:
    return AgentSummary(
        name=agent.name,
        description=agent.description,
        model=agent.model,
        max_turns=agent.max_turns,
        allowed_tools=agent.allowed_tools,
        input_schema=agent.input_schema,
        output_schema=agent.output_schema,
        digest=agent.digest,
    )
