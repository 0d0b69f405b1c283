"""Pytest fixtures for tests on a chain.

The ``conftest.py`` of a folder that uses them imports them by name::

    from tests.harness.fixtures import chain, counted_chain, session_chain, start_chain

    __all__ = ["chain", "counted_chain", "session_chain", "start_chain"]

and the tests carry ``@pytest.mark.part("anvil", "solc")``.

`chain` is shared and returned to its first state after every test; that is quick, but a process that remembers an account
nonce across tests (the official Python facilitator does) is confused by it. Such a process is started per test, or the
test takes its own chain from `start_chain`, which costs a tenth of a second. A test that kills or freezes the node takes
its own, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Protocol

import pytest

from tests.harness.anvil import BASE_SEPOLIA, Anvil
from tests.harness.rpc_counter import RpcCounter


class StartChain(Protocol):
    """What the fixture `start_chain` gives: the arguments of `Anvil.start`."""

    def __call__(
        self, chain_id: int = BASE_SEPOLIA, *, block_time: float | None = None, automine: bool = True
    ) -> Anvil: ...


@pytest.fixture(scope="session")
def session_chain() -> Iterator[Anvil]:
    """One Base Sepolia for the session (for each worker under pytest-xdist), with token and call batcher; see `chain`."""
    with Anvil.start() as anvil:
        anvil.etch_contracts()
        yield anvil


@pytest.fixture
def chain(session_chain: Anvil) -> Iterator[Anvil]:
    """The session's chain, automining; whatever the test does to it is undone afterwards."""
    before = session_chain.snapshot()
    yield session_chain
    session_chain.drop_all_transactions()
    session_chain.revert(before)
    session_chain.set_automine(True)


@pytest.fixture
def start_chain() -> Iterator[StartChain]:
    """Starts chains of the test's own: the arguments of `Anvil.start`; contracts are etched. All are ended afterwards."""
    with ExitStack() as running:

        def start(chain_id: int = BASE_SEPOLIA, *, block_time: float | None = None, automine: bool = True) -> Anvil:
            anvil = running.enter_context(Anvil.start(chain_id, block_time=block_time, automine=automine))
            anvil.etch_contracts()
            return anvil

        yield start


@pytest.fixture
def counted_chain(chain: Anvil) -> Iterator[RpcCounter]:
    """A counting proxy before `chain`; give its `url` to the part whose calls are counted."""
    with RpcCounter(chain.url) as counter:
        yield counter
