"""A local chain: anvil, with a stand-in for USDC at USDC's own address.

The accounts are those that Foundry's anvil and Hardhat print at start, derived from their public mnemonic ``test test test
test test test test test test test test junk``. Everybody knows these keys; they hold nothing anywhere.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from life.testing.parts import PARTS, find_anvil
from tests.harness.process import POLL_S, ChildProcess
from tests.harness.rpc import Json, JsonRpc, RpcError
from tests.harness.solidity import ROOT, Contract, compile_contracts


@dataclass(frozen=True)
class DevAccount:
    """A funded development account: EIP-55 address and public private key, both ``0x…``."""

    address: str
    key: str


ACCOUNTS: Final = (
    DevAccount(
        "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
        "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    ),
    DevAccount(
        "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
        "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    ),
    DevAccount(
        "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
        "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    ),
    DevAccount(
        "0x90F79bf6EB2c4f870365E785982E1f101E93b906",
        "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
    ),
    DevAccount(
        "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65",
        "0x47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
    ),
    DevAccount(
        "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc",
        "0x8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
    ),
    DevAccount(
        "0x976EA74026E726554dB657fA54763abd0C3a0aa9",
        "0x92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
    ),
    DevAccount(
        "0x14dC79964da2C08b23698B3D3cc7Ca32193d9955",
        "0x4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
    ),
    DevAccount(
        "0x23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f",
        "0xdbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97",
    ),
    DevAccount(
        "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720",
        "0x2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6",
    ),
)
FACILITATOR: Final = ACCOUNTS[0]
PAYER: Final = ACCOUNTS[1]
MERCHANT: Final = ACCOUNTS[2]
MINTER: Final = ACCOUNTS[9]
"""Sends the harness's own transactions, so that the account nonces of the others stay the test's."""

BASE_SEPOLIA: Final = 84532
BASE: Final = 8453
USDC: Final = {
    BASE: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
    BASE_SEPOLIA: "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
}
"""Circle's addresses of USDC, by chain id (circle.com, "USDC contract addresses")."""
MULTICALL3: Final = "0xcA11bde05977b3631167028862bE2a173976CA11"
"""The address of Multicall3 on every chain (multicall3.com)."""
PERMIT2: Final = "0x000000000022D473030F116dDEE9F6B43aC78BA3"
EXACT_PROXY: Final = "0x402085c248EeA27D92E8b30b2C58ed07f9E20001"
UPTO_PROXY: Final = "0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002"
"""Uniswap's Permit2 and x402's two proxies have one address on every chain (x402.md §8)."""
UNLIMITED: Final = 2**256 - 1
TRANSFER_TOPIC: Final = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
"""keccak-256 of ``Transfer(address,address,uint256)`` (ERC-20)."""
AUTHORIZATION_USED_TOPIC: Final = "0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5"
"""keccak-256 of ``AuthorizationUsed(address,bytes32)`` (EIP-3009)."""


class Anvil:
    """One running chain. A context manager; `stop` ends it by its process id.

    `token` is the address of the USDC stand-in; `etch_contracts` puts it there. Amounts are `_atomic` (1 USDC = 1,000,000)
    or `_wei`. Any node method is reachable through `rpc`.
    """

    def __init__(self, process: ChildProcess, *, url: str, chain_id: int) -> None:
        self.process = process
        self.url = url
        self.chain_id = chain_id
        self.rpc = JsonRpc(url)

    @classmethod
    def start(
        cls,
        chain_id: int = BASE_SEPOLIA,
        port: int = 0,
        *,
        block_time: float | None = None,
        automine: bool = True,
        extra: Sequence[str] = (),
        deadline_s: float = 30.0,
    ) -> Self:
        """Start a chain on loopback and wait until it answers.

        `port` 0 takes a free one. A block is mined for every transaction, or every `block_time` seconds, or, with
        `automine` false, only on `mine`. `extra` are further arguments of anvil. Raises ProcessError when it does not come up.
        """
        binary = find_anvil(ROOT)
        if binary is None:
            raise FileNotFoundError(PARTS["anvil"].install)
        mining = ["--block-time", str(block_time)] if block_time is not None else [] if automine else ["--no-mining"]
        arguments = ["--host", "127.0.0.1", "--port", str(port), "--chain-id", str(chain_id), *mining, *extra]
        process = ChildProcess.spawn([binary, *arguments], name="anvil")
        try:
            listening = process.wait_for_line(r"Listening on (127\.0\.0\.1:\d+)", deadline_s=deadline_s)
            chain = cls(process, url=f"http://{listening[1]}", chain_id=chain_id)
            answered = chain.rpc.quantity("eth_chainId")
        except BaseException:
            process.stop()
            raise
        if answered != chain_id:
            process.stop()
            raise RuntimeError(f"anvil answers for chain {answered}, not {chain_id}")
        return chain

    @property
    def pid(self) -> int:
        """Process id of the node itself, not of a launcher."""
        return self.process.pid

    @property
    def network(self) -> str:
        """CAIP-2 name, such as ``eip155:84532``."""
        return f"eip155:{self.chain_id}"

    @property
    def token(self) -> str:
        """Address of USDC on this chain. Raises ValueError on a chain whose USDC address is not listed."""
        if self.chain_id not in USDC:
            raise ValueError(f"no USDC address is listed for chain {self.chain_id}")
        return USDC[self.chain_id]

    def stop(self) -> None:
        """End the node; may be called again."""
        self.process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    # ---- contracts

    def etch_contracts(self) -> None:
        """Put the token at USDC's address, Permit2, x402's proxies and the call batcher at theirs. Needs the part `solc`."""
        contracts = compile_contracts()
        for address, name in (
            (self.token, "Token3009"),
            (MULTICALL3, "CallBatch"),
            (PERMIT2, "WitnessPermit2"),
            (EXACT_PROXY, "ExactPermit2Proxy"),
            (UPTO_PROXY, "UptoPermit2Proxy"),
        ):
            self.set_code(address, contracts[name].runtime)

    def set_code(self, address: str, runtime: str) -> None:
        """Make `runtime` (hex) the code at an address; ``0x`` removes it."""
        self.rpc.call("anvil_setCode", address, runtime)

    def deploy(self, contract: Contract) -> str:
        """Deploy a contract without constructor arguments from `MINTER`; its address."""
        receipt = self.send_as(MINTER.address, data=contract.creation)
        return str(receipt["contractAddress"])

    def read(self, signature: str, *arguments: int | str | bytes, token: str | None = None) -> str:
        """Call a view function of the token (or of another one at `token`); the answer in hex."""
        data = _token_contract().call_data(signature, *arguments)
        return self.rpc.text("eth_call", {"to": token or self.token, "data": data}, "latest")

    # ---- token

    def mint(self, to: str, amount_atomic: int) -> None:
        """Give an account tokens, by a transaction of `MINTER` that is mined before this returns."""
        data = _token_contract().call_data("mint(address,uint256)", to, amount_atomic)
        self.send_as(MINTER.address, to=self.token, data=data)

    def transfer(self, sender: str, to: str, amount_atomic: int) -> None:
        """Move tokens away from any account, whose key is not needed; to drain a payer between verify and settle."""
        data = _token_contract().call_data("transfer(address,uint256)", to, amount_atomic)
        self.send_as(sender, to=self.token, data=data)

    def approve_permit2(self, owner: str, amount_atomic: int = UNLIMITED) -> None:
        """Let Permit2 pull tokens from an account, whose key is not needed."""
        data = _token_contract().call_data("approve(address,uint256)", PERMIT2, amount_atomic)
        self.send_as(owner, to=self.token, data=data)

    def permit2_allowance(self, owner: str) -> int:
        """Tokens that Permit2 may pull from an account, atomic."""
        return int(self.read("allowance(address,address)", owner, PERMIT2), 16)

    def permit_count(self, owner: str) -> int:
        """The EIP-2612 nonce of an account."""
        return int(self.read("nonces(address)", owner), 16)

    def balance_of(self, account: str) -> int:
        """Tokens of an account, atomic."""
        return int(self.read("balanceOf(address)", account), 16)

    def authorization_state(self, authorizer: str, nonce: str | bytes) -> bool:
        """Whether an EIP-3009 nonce (32 bytes) was used or canceled."""
        return int(self.read("authorizationState(address,bytes32)", authorizer, nonce), 16) == 1

    def domain_separator(self) -> str:
        """The token's EIP-712 domain separator, ``0x…``."""
        return self.read("DOMAIN_SEPARATOR()")

    def authorizations_used(self, authorizer: str | None = None) -> int:
        """How many authorizations were used since the chain began, of one payer or of all."""
        return len(self.token_logs(AUTHORIZATION_USED_TOPIC, authorizer))

    def token_logs(self, topic: str, indexed_address: str | None = None) -> list[Json]:
        """Logs of the token with this first topic, and this address as second topic if one is given."""
        topics: list[Json] = [topic]
        if indexed_address is not None:
            topics.append("0x" + indexed_address.removeprefix("0x").lower().rjust(64, "0"))
        found = self.rpc.call("eth_getLogs", {"fromBlock": "0x0", "address": self.token, "topics": topics})
        if not isinstance(found, list):
            raise TypeError("eth_getLogs answered no list")
        return found

    # ---- chain

    def snapshot(self) -> str:
        """Remember the chain's state; the id to give to `revert`, which can be used once."""
        return self.rpc.text("evm_snapshot")

    def revert(self, snapshot_id: str) -> None:
        """Return to a snapshot. Raises RuntimeError when there is none of that id any more."""
        if self.rpc.call("evm_revert", snapshot_id) is not True:
            raise RuntimeError(f"no snapshot {snapshot_id}")

    def mine(self, blocks: int = 1) -> None:
        """Mine blocks now, whatever the mining mode."""
        self.rpc.call("anvil_mine", hex(blocks))

    def reorganise(self, blocks: int = 1) -> None:
        """Take the newest blocks back and put empty ones in their place. Their transactions are gone, also from the pool."""
        self.rpc.call("anvil_reorg", blocks, [])

    def set_automine(self, enabled: bool) -> None:
        """Mine a block for every transaction, which ends mining by clock; or stop doing so, which does not begin it."""
        self.rpc.call("evm_setAutomine", enabled)

    def is_automining(self) -> bool:
        """Whether every transaction is mined at once."""
        return self.rpc.call("anvil_getAutomine") is True

    def set_interval_mining(self, seconds: int) -> None:
        """Mine a block every so many seconds, 0 for never; automining ends in both cases."""
        self.rpc.call("evm_setIntervalMining", seconds)

    def block_number(self) -> int:
        """Number of the newest block."""
        return self.rpc.quantity("eth_blockNumber")

    def timestamp_s(self) -> int:
        """Time of the newest block, Unix seconds."""
        block = self.rpc.record("eth_getBlockByNumber", "latest", False)
        if block is None:
            raise RuntimeError("the chain has no block")
        return int(str(block["timestamp"]), 16)

    def set_next_timestamp(self, unix_s: int) -> None:
        """Time of the next block; it must not lie before the newest one. Later blocks go on from there."""
        self.rpc.call("evm_setNextBlockTimestamp", hex(unix_s))

    def advance_time(self, seconds: int) -> None:
        """Move the chain's clock forward and mine a block at the new time."""
        self.rpc.call("evm_increaseTime", hex(seconds))
        self.mine()

    def set_balance(self, address: str, amount_wei: int) -> None:
        """Set an account's native balance; 0 takes its gas money."""
        self.rpc.call("anvil_setBalance", address, hex(amount_wei))

    def balance_wei(self, address: str) -> int:
        """Native balance of an account."""
        return self.rpc.quantity("eth_getBalance", address, "latest")

    def transaction_count(self, address: str, block: str = "latest") -> int:
        """Account nonce, at ``latest`` or ``pending``."""
        return self.rpc.quantity("eth_getTransactionCount", address, block)

    def receipt(self, transaction: str) -> dict[str, Json] | None:
        """Receipt of a transaction, None while it is not mined."""
        return self.rpc.record("eth_getTransactionReceipt", transaction)

    def wait_for_receipt(self, transaction: str, *, deadline_s: float = 10.0) -> dict[str, Json]:
        """Receipt of a transaction once it is mined. Raises TimeoutError after `deadline_s`.

        Even when automining, the node answers with the hash a moment before the block is there.
        """
        deadline = time.monotonic() + deadline_s
        while (receipt := self.receipt(transaction)) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"transaction {transaction} was not mined within {deadline_s} s")
            time.sleep(POLL_S)
        return receipt

    def pending_transactions(self) -> list[str]:
        """Hashes of the transactions that wait in the pool, those with a gap before their nonce included."""
        content = self.rpc.record("txpool_content") or {}
        by_sender = [senders for part in ("pending", "queued") if isinstance(senders := content[part], dict)]
        by_nonce = [nonces for senders in by_sender for nonces in senders.values() if isinstance(nonces, dict)]
        return [str(entry["hash"]) for nonces in by_nonce for entry in nonces.values() if isinstance(entry, dict)]

    def drop_transaction(self, transaction: str) -> None:
        """Forget a waiting transaction, as a full pool would."""
        self.rpc.call("anvil_dropTransaction", transaction)

    def drop_all_transactions(self) -> None:
        """Forget every waiting transaction."""
        self.rpc.call("anvil_dropAllTransactions")

    def send_as(self, sender: str, *, to: str | None = None, data: str = "0x", value_wei: int = 0) -> dict[str, Json]:
        """Send a transaction in any account's name, mine it if nothing else would at once, and return its receipt.

        Without `to` it deploys. Raises RuntimeError when it reverts.
        """
        fields: dict[str, Json] = {"from": sender, "data": data, "value": hex(value_wei), "gas": hex(3_000_000)}
        if to is not None:
            fields["to"] = to
        self.rpc.call("anvil_impersonateAccount", sender)
        try:
            transaction = self.rpc.text("eth_sendTransaction", fields)
        finally:
            self.rpc.call("anvil_stopImpersonatingAccount", sender)
        if not self.is_automining():
            self.mine()
        receipt = self.wait_for_receipt(transaction)
        if receipt["status"] != "0x1":
            raise RuntimeError(f"transaction {transaction} of {sender} failed: {receipt}")
        return receipt


def _token_contract() -> Contract:
    return compile_contracts()["Token3009"]


__all__ = [
    "ACCOUNTS",
    "AUTHORIZATION_USED_TOPIC",
    "BASE",
    "BASE_SEPOLIA",
    "EXACT_PROXY",
    "FACILITATOR",
    "MERCHANT",
    "MINTER",
    "MULTICALL3",
    "PAYER",
    "PERMIT2",
    "TRANSFER_TOPIC",
    "UNLIMITED",
    "UPTO_PROXY",
    "USDC",
    "Anvil",
    "DevAccount",
    "RpcError",
]
