"""The examples in docs/identity.md run as printed."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from life.anima.api import IdentityApi
from life.anima.errors import TokenRefusedError
from life.anima.registry import IdentityRegistry
from life.anima.tokens import issue_agent_token
from life.host.anima_identity import open_agent_identity
from life.host.clock import SystemClock, SystemEntropy
from life.host.http.problem import EXCEPTION_HANDLERS
from life.host.http.routes import routes
from life.lago.journal.sqlite import SqliteJournal
from tests.anima.material import raw_key
from tests.host.serving import serving

PAGE = Path(__file__).parents[2] / "docs" / "identity.md"


async def test_the_ten_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token is verified on its own host's journal, and by a stranger over HTTP; both refuse what is not one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".life").mkdir()
    here, there = [_function(block) for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)]
    clock, entropy = SystemClock(), SystemEntropy()
    async with SqliteJournal.open(Path(".life/journal.db"), clock=clock, writer="in_loop") as journal:
        agent = await open_agent_identity(journal, Path(".life/identity"), raw_key(), clock=clock, entropy=entropy)
        agent_id = agent.identity.agent_id

        async def token() -> str:
            return await issue_agent_token(
                agent.custody, agent_id=agent_id, audience="svc", clock=clock, entropy=entropy
            )

        assert await here(await token()) == agent_id
        async with IdentityRegistry.open(journal, clock) as registry:
            api = IdentityApi(journal=journal, registry=registry, custody=agent.custody, agent_id=agent_id, clock=clock)
            app = Starlette(routes=routes(api.public_operations()), exception_handlers=EXCEPTION_HANDLERS)
            async with serving(app) as address:
                assert await asyncio.to_thread(there, await token(), address) == agent_id
                with pytest.raises(TokenRefusedError):
                    await asyncio.to_thread(there, "a.b.c", address)
        agent.custody.close()


def _function(block: str) -> Any:
    """`who_sent` of an example."""
    names: dict[str, Any] = {}
    exec(block, names)
    return names["who_sent"]
