"""The demos' tools that go out, through the agent's own client: checked, and paid for under its policy."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Final, NamedTuple

import httpx2

from life.aios.errors import LifeError, NotFoundError, ToolError
from life.aios.json import Json, JsonObject
from life.aios.ports.tools import ToolContext
from life.host.demos.embeddings import likeness
from life.host.demos.network import SIMULATED
from life.host.demos.tool_parts import MOST_FILE_BYTES, DemoParts, failure_told
from life.praxis.fetch_request import parse_target

_MOST_ANSWER_BYTES: Final = 400_000
_Url = Annotated[str, "Absolute URL."]


class _Answer(NamedTuple):
    status: int
    is_simulated: bool
    content: Json
    settlement: Json


async def _ask(
    parts: DemoParts,
    context: ToolContext,
    place: str,
    url: str,
    *,
    body: Json = None,
    of_run: bool = False,
) -> _Answer:
    """One request by the agent's client. `place` is the request's own within the call (or, `of_run`, within the run): one place, one
    purchase."""
    whose = "" if of_run else context.idempotency_key
    purchase = {
        "purchase_id": hashlib.sha256(f"{whose}\n{place}".encode()).hexdigest(),
        "session_id": context.session_id,
        "task_id": context.run_id,
    }
    request = parts.client.build_request(
        "GET" if body is None else "POST",
        str(parse_target(url).url),
        json=body,
        extensions={"life": purchase},
    )
    response = await parts.client.send(request)
    content = response.text[:_MOST_ANSWER_BYTES]
    return _Answer(
        response.status_code,
        SIMULATED in response.headers,
        _decoded(content),
        _receipt(response.extensions.get("life.settlement")),
    )


def _decoded(content: str) -> Json:
    try:
        value: Json = json.loads(content)
    except ValueError:
        return content
    return value


def _receipt(reported: object) -> Json:
    """What the paying transport says was paid; None when nothing was."""
    if reported is None:
        return None
    names = ("state", "amount_micro", "transaction", "network", "pay_to", "payment_id")
    given = {
        name: reported.get(name) if isinstance(reported, Mapping) else getattr(reported, name, None) for name in names
    }
    return {name: value for name, value in given.items() if isinstance(value, str | int) and value != ""}


class NetworkTools:
    """See `life.host.demos.tools`."""

    def __init__(self, parts: DemoParts) -> None:
        self._parts = parts

    async def fetch_quotes(
        self,
        urls: Annotated[list[str], "Pages of sellers, asked at the same time."],
        context: ToolContext,
        timeout_ms: Annotated[int, "How long each may take."] = 1500,
    ) -> JsonObject:
        """Ask several sellers at the same time. What one of them charges is paid within the limits; one that does not
        answer in time is named, and can be asked again."""
        answers = await asyncio.gather(*(self._quote(url, context, timeout_ms) for url in urls[:8]))
        late = [answer["url"] for answer in answers if "error" in answer]
        return {
            "quotes": {parse_target(str(answer["url"])).host.partition(".")[0]: answer for answer in answers},
            "late": late,
        }

    async def _quote(self, url: str, context: ToolContext, timeout_ms: int) -> JsonObject:
        clock = self._parts.clock
        began_us = clock.monotonic_us()
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                # Of the run, not of the call: who asks again after a time-out goes on with the same purchase.
                answer = await _ask(self._parts, context, f"{context.run_id}\n{url}", url, of_run=True)
        except TimeoutError:
            return {"url": url, "error": f"No answer within {timeout_ms} ms.", "code": "timeout"}
        except (LifeError, httpx2.HTTPError) as failure:
            return {"url": url, **failure_told(failure)}
        took_ms = (clock.monotonic_us() - began_us) // 1000
        content = answer.content if isinstance(answer.content, dict) else {"text": answer.content}
        return {
            **content,
            "url": url,
            "status": answer.status,
            "took_ms": took_ms,
            "settlement": answer.settlement,
        }

    async def embed_chunks(
        self, chunks_blob: Annotated[str, "The blob of extract_text."], url: _Url, context: ToolContext
    ) -> JsonObject:
        """Have chunks embedded by a service that charges by length; the vectors are stored as a blob."""
        try:
            lines = (await self._parts.blobs.get(chunks_blob, max_bytes=MOST_FILE_BYTES)).decode().splitlines()
        except NotFoundError:
            raise ToolError("There is no such blob of chunks.") from None
        try:
            texts = [str(json.loads(line)["text"]) for line in lines]
        except (ValueError, KeyError, TypeError):
            raise ToolError("This blob is none of extract_text's.") from None
        try:
            answer = await _ask(self._parts, context, "embed", url, body={"input": texts})
        except httpx2.HTTPError as failure:
            raise ToolError(f"The service gave no answer ({type(failure).__name__}).") from None
        content = answer.content
        if answer.status != 200 or not isinstance(content, dict) or "vectors" not in content:
            raise ToolError(f"The service answered {answer.status}.")
        vectors = content["vectors"]
        info = await self._parts.blobs.put(json.dumps(vectors).encode())
        closest = _closest(vectors) if isinstance(vectors, list) else None
        return {
            "simulated": answer.is_simulated,
            "vectors_blob": info.hash,
            "vectors": len(texts),
            "dimensions": content.get("dimensions"),
            "closest_neighbours": closest,
            "settlement": answer.settlement,
        }


def _closest(vectors: list[list[float]]) -> float:
    """How alike the two most similar neighbouring chunks are."""
    return round(max((likeness(one, other) for one, other in pairwise(vectors)), default=0.0), 3)
