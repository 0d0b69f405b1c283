"""An MCP server of the official SDK over streamable HTTP with tools that misbehave: `die`, `big`, `sleep`.

python -m tests.peers.mcp_http_server      prints `ready <address>`
"""

from __future__ import annotations

import asyncio
import os
import sys

import uvicorn
from mcp.server.mcpserver import MCPServer

from life.host.http.server import bind


async def main() -> None:
    """Serve until killed."""
    server = MCPServer("fragile")

    @server.tool()
    async def die() -> str:
        """Ends the process."""
        os._exit(1)

    @server.tool()
    async def big() -> str:
        """Twenty megabytes."""
        return "x" * 20_000_000

    @server.tool()
    async def sleep() -> str:
        """For ever."""
        await asyncio.Event().wait()
        return ""

    with bind("127.0.0.1", 0) as listener:
        app = server.streamable_http_app(json_response=True)
        sys.stdout.write(f"ready http://127.0.0.1:{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        await uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none")).serve(sockets=[listener])


if __name__ == "__main__":
    asyncio.run(main())
