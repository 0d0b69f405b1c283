"""Embeddings: texts as vectors whose angles say how much alike they are. Optional; search works without."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Embeddings(Protocol):
    """One model. Vectors of one model are compared with one another and never with those of another."""

    def model(self) -> str:
        """The model's name with its version; another name means that every note is embedded again."""
        ...

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector for each text, all of the same length. UnavailableError when the model does not answer now."""
        ...
