"""The counting proxy: it counts, forwards faithfully, and fails only where it was told to."""

from __future__ import annotations

import http.client
import json

import pytest

from tests.harness.anvil import MERCHANT, PAYER, Anvil, RpcError
from tests.harness.rpc import Json, JsonRpc
from tests.harness.rpc_counter import RpcCounter

pytestmark = pytest.mark.part("anvil", "solc")


def test_calls_are_counted_and_answered(chain: Anvil, counted_chain: RpcCounter) -> None:
    """Answers are the node's own; methods are counted in order, until reset."""
    through = JsonRpc(counted_chain.url)
    assert through.quantity("eth_chainId") == chain.chain_id
    assert through.quantity("eth_blockNumber") == chain.block_number()
    through.quantity("eth_chainId")
    assert counted_chain.methods == ["eth_chainId", "eth_blockNumber", "eth_chainId"]
    assert counted_chain.counts == {"eth_chainId": 2, "eth_blockNumber": 1}
    assert counted_chain.total == 3
    counted_chain.reset()
    assert counted_chain.total == 0


def test_the_nodes_errors_pass_through(counted_chain: RpcCounter) -> None:
    """A refusal of the node keeps its code."""
    with pytest.raises(RpcError) as refused:
        JsonRpc(counted_chain.url).call("eth_nonsense")
    assert refused.value.code == -32601


def test_batch_counts_each_call_and_connections_are_kept(counted_chain: RpcCounter) -> None:
    """A batch of two counts two; one connection serves several requests."""
    batch: list[Json] = [{"jsonrpc": "2.0", "id": number, "method": "eth_chainId", "params": []} for number in (1, 2)]
    connection = http.client.HTTPConnection(counted_chain.url.removeprefix("http://"), timeout=10)
    try:
        for _ in range(2):
            connection.request("POST", "/", json.dumps(batch))
            assert len(json.loads(connection.getresponse().read())) == 2
    finally:
        connection.close()
    assert counted_chain.total == 4


def test_lost_answer_reaches_the_node(chain: Anvil, counted_chain: RpcCounter) -> None:
    """The transaction goes out, its answer never comes, and the next one is answered again."""
    through = JsonRpc(counted_chain.url)
    transfer: dict[str, Json] = {"from": PAYER.address, "to": MERCHANT.address, "value": "0x1"}
    counted_chain.lose_answer("eth_sendTransaction")
    with pytest.raises(http.client.RemoteDisconnected):
        through.text("eth_sendTransaction", dict(transfer))
    assert chain.transaction_count(PAYER.address, "pending") == 1
    chain.wait_for_receipt(through.text("eth_sendTransaction", dict(transfer)))
    assert chain.transaction_count(PAYER.address) == 2
    assert counted_chain.counts["eth_sendTransaction"] == 2


def test_refused_call_never_reaches_the_node(chain: Anvil, counted_chain: RpcCounter) -> None:
    """A refused call is HTTP 503 and has no effect; other methods are untouched."""
    counted_chain.refuse("eth_sendTransaction", times=2)
    connection = http.client.HTTPConnection(counted_chain.url.removeprefix("http://"), timeout=10)
    call = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendTransaction", "params": [{"from": PAYER.address}]}
    try:
        for _ in range(2):
            connection.request("POST", "/", json.dumps(call))
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 503
    finally:
        connection.close()
    assert JsonRpc(counted_chain.url).quantity("eth_chainId") == chain.chain_id
    assert chain.transaction_count(PAYER.address, "pending") == 0


def test_dead_node_is_a_bad_gateway() -> None:
    """When the node is gone the proxy says so instead of hanging."""
    with Anvil.start() as chain, RpcCounter(chain.url) as counter:
        chain.process.kill()
        connection = http.client.HTTPConnection(counter.url.removeprefix("http://"), timeout=10)
        try:
            connection.request("POST", "/", '{"method": "eth_chainId"}')
            answer = connection.getresponse()
            assert answer.status == 502
            assert b"no answer from the node" in answer.read()
        finally:
            connection.close()


def test_close_frees_waiting_connections(chain: Anvil) -> None:
    """Closing does not wait for a client that keeps its connection open."""
    counter = RpcCounter(chain.url)
    connection = http.client.HTTPConnection(counter.url.removeprefix("http://"), timeout=10)
    try:
        connection.request("POST", "/", '{"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}')
        connection.getresponse().read()
        counter.close()
        counter.close()
    finally:
        connection.close()


@pytest.mark.parametrize("address", ["https://127.0.0.1:1", "127.0.0.1:8545", "http://127.0.0.1"])
def test_wrong_upstream_is_refused(address: str) -> None:
    """Only http://host:port can be counted."""
    with pytest.raises(ValueError, match="not an http://host:port address"):
        RpcCounter(address)
