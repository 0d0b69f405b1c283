"""What an agent thinks and works with: tools, memory, skills, the files of its branches. Opened together, closed in reverse.

The runtime gets them through ports; here they are chosen and joined:

    tools     files, search, plan, http_fetch (it pays), bash in its sandbox, knowledge, memory, accepted MCP servers
    context   who the agent is, where it runs, the project's instructions, skills, memory
    files     a working copy for each branch, a version of every file that a tool changes
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec

from life.aios.policy import WORKSPACE_POLICY, PolicySet
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.aios.ports.knowledge import Knowledge
from life.aios.ports.provider import ModelProvider
from life.aios.ports.tools import Toolbox, ToolContext
from life.aios.ports.working_copies import SessionFiles
from life.anima.identity_file import Identity
from life.arcan.context.keeper import ContextParts
from life.arcan.memory.scopes import user_stream
from life.host.blob_keys import open_blobs
from life.host.data_directory import DataDirectory
from life.host.demos.model import with_demos
from life.host.demos.world import DemoWorld
from life.host.keys import Prompt
from life.host.mcp_clients import (
    known_servers,
    trust_store,
    with_direct_calls,
    with_mcp_policy,
    with_mcp_tools,
    workspace_name,
)
from life.host.memory import INDEX_FOLDER, OpenMemory, open_memory, standard_sources
from life.host.sandboxes import open_bash, sandbox_banner
from life.host.settings import Settings
from life.host.skills import Skills, open_skills
from life.host.working_copies import BranchCopies
from life.lago.blobs.directory import DirectoryObjects
from life.lago.blobs.store import BlobStore
from life.praxis.egress import EgressClient
from life.praxis.fetch_request import HttpFetchPolicy
from life.praxis.function_tool import FunctionTool
from life.praxis.joined import JoinedToolbox
from life.praxis.standard import standard_tools
from life.praxis.tools.bash import ANY_PROGRAM
from life.praxis.workspace import WorkspacePolicy

BRANCHES_FOLDER = "branches"
"""Of the data directory: the working copies of branches other than main."""


@dataclass(frozen=True)
class Equipment:
    """The open parts."""

    toolbox: Toolbox
    policy: PolicySet
    """What a new session may do unless its maker says otherwise."""
    context: ContextParts
    files: SessionFiles
    blobs: BlobStore
    memory: OpenMemory
    skills: Skills
    open_provider: Callable[[str], ModelProvider]
    warning: str | None
    """What a person has to be told about the sandbox, if anything."""

    def instructions(self, system_prompt: str) -> str:
        """The instructions that a new session begins with."""
        return self.skills.instructions(system_prompt)


async def open_equipment(
    stack: AsyncExitStack,
    data: DataDirectory,
    settings: Settings,
    *,
    journal: Journal,
    identity: Identity,
    client: EgressClient,
    http: HttpFetchPolicy,
    open_provider: Callable[[str], ModelProvider],
    environment: Mapping[str, str],
    prompt: Prompt,
    clock: Clock,
    entropy: Entropy,
    own_tools: Sequence[FunctionTool[..., object]] = (),
    demo_world: DemoWorld | None = None,
    spaces: Toolbox | None = None,
) -> Equipment:
    """Open everything in the data directory, with `own_tools` of the program beside ours, and the demos' tools when there is
    a `demo_world`; `spaces` are the tools of Spaces, where they are offered. SandboxUnavailableError when the
    chosen sandbox does not work here, DuplicateToolError for a name that a built-in tool has."""
    agent_id, workspace = identity.agent_id, WorkspacePolicy()
    blobs = open_blobs(
        data, DirectoryObjects(data.blobs, entropy), clock, entropy, environment=environment, prompt=prompt
    )
    memory = await stack.enter_async_context(
        open_memory(
            journal,
            blobs,
            clock=clock,
            entropy=entropy,
            agent_id=agent_id,
            index_folder=None if settings.storage.encrypt_blobs else data.root / INDEX_FOLDER,
            learns=True,
        )
    )

    async def notes_of_owner(context: ToolContext) -> Knowledge | None:
        return await memory.knowledge(user_stream(await memory.tools.owner_of(context.session_id)))

    tools = standard_tools(client, http=http, workspace=workspace, blobs=blobs, knowledge=notes_of_owner)
    bash = await open_bash(
        settings.sandbox,
        clock=clock,
        entropy=entropy,
        data_root=data.root,
        environment=environment,
        workspace=workspace,
        blobs=blobs,
        allow_private_hosts=settings.tools.allow_private_hosts,
    )
    policy = WORKSPACE_POLICY
    if bash is not None:
        tools.register(bash)
        # Asking a person before each command is the tool's own business (`sandbox.confirm`).
        allowed = (*policy.allow_capabilities, ANY_PROGRAM)
        policy = msgspec.structs.replace(policy, allow_capabilities=allowed)
    for tool in (*own_tools, *(() if demo_world is None else demo_world.tools(client, blobs, workspace))):
        tools.register(tool)
    skills = await open_skills(data, settings.skills, environment, own_did=identity.did)
    skills.register(tools)
    await skills.note_discovery(journal, clock, entropy, agent_id)
    servers, accepted = known_servers(data, settings.mcp, environment), trust_store(data)
    boxes: list[tuple[str, Toolbox]] = [("tools", tools), ("memory", memory.tools)]
    if spaces is not None:
        from life.host.hiring.hiring import with_spaces

        policy = with_spaces(policy)
    if demo_world is not None:
        boxes.append(("spaces", demo_world.spaces.toolbox(spaces)))
    elif spaces is not None:
        boxes.append(("spaces", spaces))
    ours = JoinedToolbox(*boxes)
    toolbox = await with_mcp_tools(ours, data, servers, accepted, environment=environment, clock=clock, stack=stack)
    copies = BranchCopies(
        journal,
        blobs,
        clock,
        entropy,
        agent_id=agent_id,
        workspace_of=lambda session_id: Path(workspace_of(data, session_id)),
        branches=data.root / BRANCHES_FOLDER,
    )
    return Equipment(
        toolbox=toolbox,
        policy=with_mcp_policy(policy, settings.mcp, accepted, servers),
        context=ContextParts(
            sources=standard_sources(memory, {"os": platform.system()}, persona=_persona(identity)),
            settings=settings.context,
        ),
        files=SessionFiles(copies, copies),
        blobs=blobs,
        memory=memory,
        skills=skills,
        open_provider=with_direct_calls(
            with_demos(open_provider, clock, played=(lambda: None) if demo_world is None else demo_world.spaces.want)
        ),
        warning=sandbox_banner(settings.sandbox, None if bash is None else bash.backend),
    )


def workspace_of(data: DataDirectory, session_id: str) -> str:
    """The absolute path of a session's workspace; it is made when it is not there."""
    return str(data.workspace(workspace_name(session_id)).resolve())


def _persona(identity: Identity) -> str:
    """Who the agent is, in its own words' order: name, mission, identity."""
    origin = identity.soul.origin
    mission = f"{origin.mission}\n" if origin.mission else ""
    return f"You are {origin.name}.\n{mission}Your identity is {identity.did}."
