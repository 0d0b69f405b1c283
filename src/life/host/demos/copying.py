"""Making a demo one's own from the command line: on the arcand that works in the data directory, or in this process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import httpx2
import msgspec

from life.aios.errors import UnavailableError
from life.host.access import read_token
from life.host.data_directory import DataDirectory
from life.host.demos.api import DemoSession
from life.host.demos.demos import Demos
from life.host.errors import HostError
from life.host.settings import load_settings
from life.host.system import open_system


class CopyRefusedError(HostError):
    """The daemon did not make the copy, and said why."""

    code = "host.copy_refused"
    status = 409


async def copy_demo(data_dir: Path, slug: str, *, name: str, model: str, environment: Mapping[str, str]) -> str:
    """The copy's session id. UnavailableError when the daemon does not answer."""
    data = DataDirectory.create(data_dir)
    address = data.address_of("arcand")
    if address is not None:
        return await _by_daemon(address, read_token(data.token), slug, name=name, model=model)
    with data.lock("arcand"):
        settings = load_settings(data.config, environment)
        async with open_system(data_dir, settings=settings, environment=environment) as system:
            return await Demos(system).copy(slug, name=name, model=model)


async def _by_daemon(address: str, token: str, slug: str, *, name: str, model: str) -> str:
    async with httpx2.AsyncClient(
        base_url=address, headers={"authorization": f"Bearer {token}"}, trust_env=False
    ) as client:
        try:
            answer = await client.post(f"/workspace/demos/{slug}/copies", json={"name": name, "model": model or None})
        except httpx2.HTTPError:
            raise UnavailableError("The daemon that works here does not answer.") from None
    if answer.status_code != 201:
        said = answer.json() if "json" in answer.headers.get("content-type", "") else {}
        words = said.get("detail") if isinstance(said, dict) else None
        raise CopyRefusedError(words if isinstance(words, str) else f"The daemon answered {answer.status_code}.")
    return msgspec.json.decode(answer.content, type=DemoSession).session_id
