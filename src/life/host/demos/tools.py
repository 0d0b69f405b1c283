"""Tools that only the demos have: small, real, and the same for a scripted and for a live model.

    query_spans       read a file of measured spans, with percentiles                 refactor
    offer_branch      tell the person that another way could be tried                 sentinel, refactor
    fetch_quotes      ask several sellers at once, each with its own time limit        materiales
    score_quotes      how far prices agree                                            materiales
    store_blob        keep a file of the workspace as a blob                          ingest
    extract_text      cut a stored paper into chunks                                  ingest
    embed_chunks      have chunks embedded by a service that charges by length        ingest
    write_graph       a node and weighted edges, as files of the workspace            ingest
    request_payment   ask the built-in buyer for the price of a run                   sentinel-pro

They are offered only to sessions whose list of tools names them (`ToolDefinition.by_name_only`). What they fetch goes through the
agent's own client: checked, and paid for under the agent's policy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from life.aios.ports.tools import ToolAnnotations
from life.host.demos.file_tools import FileTools
from life.host.demos.network_tools import NetworkTools
from life.host.demos.people_tools import PeopleTools
from life.host.demos.tool_parts import CATEGORY, PERSON_WAIT_S, DemoParts
from life.praxis.fetch_request import parse_target
from life.praxis.function_tool import FunctionTool


def demo_tools(parts: DemoParts) -> list[FunctionTool[..., object]]:
    """All of them."""
    network, files, people = NetworkTools(parts), FileTools(parts), PeopleTools(parts)
    return [
        _tool(files.query_spans, read_only=True),
        _tool(people.offer_branch),
        _tool(network.fetch_quotes, capabilities=lambda urls, **_: _egress(urls), timeout_s=60),
        _tool(files.score_quotes, read_only=True),
        _tool(files.store_blob),
        _tool(files.extract_text),
        _tool(network.embed_chunks, capabilities=lambda url, **_: _egress([url]), timeout_s=60),
        _tool(files.write_graph),
        _tool(people.request_payment, capabilities=lambda url, **_: _egress([url]), timeout_s=PERSON_WAIT_S + 30),
    ]


def _tool(
    function: Callable[..., object],
    *,
    read_only: bool = False,
    capabilities: Callable[..., Sequence[str]] | None = None,
    timeout_s: int = 30,
) -> FunctionTool[..., object]:
    """A tool of the demos. Doing one again has its effect once: ids and purchases follow from the call."""
    made: FunctionTool[..., object] = FunctionTool(
        function,
        annotations=ToolAnnotations(read_only=read_only, idempotent=True, open_world=capabilities is not None),
        category=CATEGORY,
        timeout_s=timeout_s,
        capabilities=capabilities,
    )
    cost: Literal["normal", "expensive"] = "normal" if capabilities is None else "expensive"
    made.definition = msgspec.structs.replace(made.definition, by_name_only=True, cost_class=cost)
    return made


def _egress(urls: Sequence[str]) -> list[str]:
    return sorted({parse_target(url).capability for url in urls})
