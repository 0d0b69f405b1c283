"""Life as an MCP host, and as an MCP server: offline, scripted, in one run.

    python examples/mcp_host.py

First an agent uses a tool of another MCP server, which is started over stdio after a person has accepted it; the call needs an
approval and stands in the journal. Then another host lists and calls this agent's own tools over MCP. Needs `lifeos[mcp]`.
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from mcp import Client

from life.host.mcp_clients import known_servers, trust_store
from life.host.mcp_server import open_mcp_server
from life.host.settings import Settings
from life.host.system import open_system
from life.praxis.mcp.toolbox import McpToolbox

SERVER = """
from mcp.server.mcpserver import MCPServer

server = MCPServer("weather")

@server.tool()
async def forecast(city: str) -> str:
    "Tomorrow's weather."
    return f"Sun over {city}."

server.run("stdio")
"""

SCRIPT = {
    "turns": [
        {"calls": [{"tool": "mcp__weather__forecast", "arguments": {"city": "Oslo"}}]},
        {"calls": [{"tool": "write_file", "arguments": {"path": "plan.txt", "content": "Take sunglasses."}}]},
        {"text": "Sun over Oslo tomorrow; the plan is in plan.txt."},
    ]
}


async def main(project: Path) -> None:
    """Use a server, then be one."""
    (project / "weather.py").write_text(SERVER)
    (project / "script.json").write_text(json.dumps(SCRIPT))
    entry = {"command": sys.executable, "args": [str(project / "weather.py")]}
    (project / ".mcp.json").write_text(json.dumps({"mcpServers": {"weather": entry}}))
    environment = {
        "LIFE_PASSPHRASE": "an example's passphrase",
        "LIFE_MODEL_PROVIDER": f"scripted:{project}/script.json",
    }

    async with open_system(project / ".life", environment=environment) as system:
        print(
            "before a person accepts it:",
            [tool.name for tool in system.equipment.toolbox.definitions() if "mcp" in tool.name],
        )
        trust = trust_store(system.data)  # what `life mcp accept weather` does
        (server,) = known_servers(system.data, Settings().mcp, environment).servers
        trust.accept(server.name, server.entry)
    async with open_system(project / ".life", environment=environment) as system:
        assert isinstance(system.equipment.toolbox, McpToolbox)
        await system.equipment.toolbox.refresh()  # starts the server and takes its tools as they are
        print("after:", [tool.name for tool in system.equipment.toolbox.definitions() if "mcp" in tool.name])
        await system.runtime.create_session("trip")
        report = await system.runtime.run("trip", "Plan tomorrow.")
        assert report.pending is not None
        print(f"the policy asks about {report.pending.tool_name} {report.pending.arguments}")
        await system.runtime.resolve_approval("trip", report.pending.approval_id or "", approved=True, actor="ann")
        print("agent:", (await system.runtime.wait("trip")).final_answer)

        async with Client(open_mcp_server(system).protocol) as client:
            offered = {tool.name for tool in (await client.list_tools()).tools}
            print("offered to other hosts: read_file", "read_file" in offered, "· write_file", "write_file" in offered)
            result = await client.call_tool("list_dir", {"path": "."})
            print("list_dir over MCP is an error:", result.is_error)
            sessions = await system.runtime.sessions()
            print("sessions in the journal:", sorted(session.session_id for session in sessions))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder)))
