"""One server for the tests that do it no harm."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from life.lago.nats_server import NatsServer
from life.spaces.engine.nats.access import NatsAccess
from life.testing.clock import SeededEntropy
from tests.harness.nats_cluster import access_of, kept


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A server for all tests of a module."""
    with kept(NatsServer.run(tmp_path_factory.mktemp("nats"), entropy=SeededEntropy("server"))) as running:
        yield running


@pytest.fixture
def swept() -> Iterator[None]:
    """Collect what the official client leaves behind of connections that failed, where the test's own filters know it."""
    yield
    gc.collect()


@pytest.fixture
def access(server: NatsServer) -> NatsAccess:
    """How to connect to it."""
    return access_of(server.access)
