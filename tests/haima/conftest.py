"""The chain fixtures, for the tests of this folder."""

from __future__ import annotations

from tests.harness.fixtures import chain, counted_chain, session_chain, start_chain

__all__ = ["chain", "counted_chain", "session_chain", "start_chain"]
