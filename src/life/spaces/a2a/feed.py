"""Who listens to a task: each with a queue of its own, bounded, and cut off when it does not read."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator
from typing import Final

from msgspec.structs import replace

from life.spaces.a2a.wire import INTERRUPTED, TERMINAL, Artifact, ArtifactUpdate, StreamResponse

MAX_WAITING: Final = 1024
MAX_LISTENERS: Final = 64
"""Per task."""


class Listener:
    """One reader. Pieces of text that it has not read yet are joined."""

    def __init__(self) -> None:
        self._waiting: list[StreamResponse] = []
        self._ready = asyncio.Event()
        self._closed = False

    def put(self, event: StreamResponse) -> None:
        """Give it an event; a reader that is too far behind is closed, and may subscribe again."""
        if self._closed:
            return
        joined = _joined(self._waiting[-1], event) if self._waiting else None
        if joined is not None:
            self._waiting[-1] = joined
        elif len(self._waiting) >= MAX_WAITING:
            self.close()
        else:
            self._waiting.append(event)
        self._ready.set()

    def close(self) -> None:
        """Nothing more comes."""
        self._closed = True
        self._ready.set()

    async def events(self) -> AsyncGenerator[StreamResponse, None]:
        """What comes, up to the task's end or to a state in which it waits for the client."""
        while True:
            while self._waiting:
                event = self._waiting.pop(0)
                yield event
                update = event.status_update
                if update is not None and update.status.state in TERMINAL | INTERRUPTED:
                    return
            if self._closed:
                return
            self._ready.clear()
            await self._ready.wait()


class Feed:
    """The listeners of all tasks."""

    def __init__(self) -> None:
        self._listeners: defaultdict[str, set[Listener]] = defaultdict(set)

    def listen(self, task_id: str) -> Listener | None:
        """A new listener; None when the task has too many."""
        if len(self._listeners[task_id]) >= MAX_LISTENERS:
            return None
        listener = Listener()
        self._listeners[task_id].add(listener)
        return listener

    def leave(self, task_id: str, listener: Listener) -> None:
        """It does not listen any more."""
        listener.close()
        listeners = self._listeners.get(task_id)
        if listeners is not None:
            listeners.discard(listener)
            if not listeners:
                del self._listeners[task_id]

    def tell(self, task_id: str, event: StreamResponse) -> None:
        """Give everybody an event."""
        for listener in tuple(self._listeners.get(task_id, ())):
            listener.put(event)

    def close(self) -> None:
        """End every stream."""
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.close()


def _joined(last: StreamResponse, new: StreamResponse) -> StreamResponse | None:
    """Two neighbouring pieces of one artifact as one."""
    one, two = last.artifact_update, new.artifact_update
    if one is None or two is None or not two.append or one.last_chunk:
        return None
    if one.artifact.artifact_id != two.artifact.artifact_id:
        return None
    first, second = one.artifact.parts[0], two.artifact.parts[0]
    if not isinstance(first.text, str) or not isinstance(second.text, str):
        return None
    artifact: Artifact = replace(one.artifact, parts=(replace(first, text=first.text + second.text),))
    both: ArtifactUpdate = replace(one, artifact=artifact, last_chunk=two.last_chunk)
    return StreamResponse(artifact_update=both)
