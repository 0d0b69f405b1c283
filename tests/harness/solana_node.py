"""A Solana node for tests: JSON-RPC on loopback over LiteSVM, the chain's own virtual machine.

Transactions are executed by the real token program against real accounts. What is made up is the node around it: there is
one validator, a block is a slot, and tests may hold, drop or delay what is sent. It is not a cluster.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from solders.account import Account
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.token import ID as TOKEN_PROGRAM
from solders.token.state import Mint, TokenAccount, TokenAccountState
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata

from life.crypto.solana_transfer import MEMO_PROGRAM, associated_account
from tests.harness.rpc import Json

LIFETIME_BLOCKS = 150
DEVNET_GENESIS = "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG"
DECIMALS = 6


class SolanaNode:
    """Serves on loopback; a context manager."""

    def __init__(self, *, mint: str | None = None, genesis: str = DEVNET_GENESIS) -> None:
        """`mint`: the token's address, by default a new one. `genesis`: the hash by which the network is known."""
        self._svm = LiteSVM()
        self.genesis = genesis
        self._history: list[tuple[str, int, str | None, VersionedTransaction]] = []
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[int, str | None]] = {}
        self.calls: Counter[str] = Counter()
        self.executed: Counter[str] = Counter()
        self.drop_next = 0
        """So many sendings are taken and never executed."""
        self.hide = False
        """Statuses are not told, as by a node that has not heard of them."""
        self.down = False
        self.lag_blocks = 0
        self.tells_memos = True
        self.first_slot = 0
        """Older history is gone."""
        self.mint = mint or str(Keypair().pubkey())
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.node = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self._make_mint()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # ---- what a test does to the chain

    def fund_lamports(self, address: str, lamports: int = 1_000_000_000) -> None:
        """SOL for fees."""
        with self._lock:
            self._svm.airdrop(Pubkey.from_string(address), lamports)

    def give_tokens(self, owner: str, amount_atomic: int) -> None:
        """An associated account of the owner with so much in it."""
        with self._lock:
            state = TokenAccount(
                Pubkey.from_string(self.mint),
                Pubkey.from_string(owner),
                amount_atomic,
                None,
                TokenAccountState.Initialized,
                None,
                0,
                None,
            )
            address = Pubkey.from_string(associated_account(owner, self.mint, str(TOKEN_PROGRAM)))
            self._svm.set_account(address, Account(2_039_280, bytes(state), TOKEN_PROGRAM))

    def tokens_of(self, owner: str) -> int:
        """What the owner's associated account holds."""
        with self._lock:
            found = self._svm.get_account(Pubkey.from_string(associated_account(owner, self.mint, str(TOKEN_PROGRAM))))
        return 0 if found is None else TokenAccount.from_bytes(bytes(found.data)).amount

    def advance_blocks(self, blocks: int) -> None:
        """Let time pass."""
        with self._lock:
            self._svm.warp_to_slot(self._svm.get_clock().slot + blocks)
            self._svm.expire_blockhash()

    def wait_executed(self, count: int, *, deadline_s: float = 20.0) -> None:
        """Until so many transactions were executed."""
        ends = time.monotonic() + deadline_s
        while sum(self.executed.values()) < count:
            if time.monotonic() > ends:
                raise TimeoutError(f"{sum(self.executed.values())} of {count} transactions were executed")
            time.sleep(0.01)

    # ---- the node

    def answer(self, method: str, params: list[Json]) -> Json:
        """One call."""
        with self._lock:
            self.calls[method] += 1
            answers: dict[str, Callable[[list[Json]], Json]] = {
                "getLatestBlockhash": self._latest_blockhash,
                "getBlockHeight": self._block_height,
                "getAccountInfo": self._account_info,
                "simulateTransaction": self._simulate,
                "sendTransaction": self._send,
                "getSignatureStatuses": self._statuses,
                "getGenesisHash": lambda _: self.genesis,
                "getBalance": self._balance,
                "getSignaturesForAddress": self._signatures,
                "getTransaction": self._transaction,
                "getFirstAvailableBlock": lambda _: self.first_slot,
            }
            return answers[method](params)

    def _latest_blockhash(self, _: list[Json]) -> Json:
        height = self._height() + LIFETIME_BLOCKS
        return self._seen_at({"blockhash": str(self._svm.latest_blockhash()), "lastValidBlockHeight": height})

    def _block_height(self, _: list[Json]) -> Json:
        return self._height() - self.lag_blocks

    def _balance(self, params: list[Json]) -> Json:
        return self._seen_at(self._svm.get_balance(Pubkey.from_string(str(params[0]))) or 0)

    def _signatures(self, params: list[Json]) -> Json:
        address, options = Pubkey.from_string(str(params[0])), params[1]
        assert isinstance(options, dict)
        limit, before = options.get("limit", 1_000), options.get("before")
        assert isinstance(limit, int)
        newest_first = [] if self.hide else list(reversed(self._history))
        if before is not None:
            names = [name for name, _, _, _ in newest_first]
            newest_first = newest_first[names.index(str(before)) + 1 :]
        found: list[Json] = [
            {
                "signature": name,
                "slot": slot,
                "err": words,
                "memo": _memo(transaction) if self.tells_memos else None,
                "confirmationStatus": "confirmed",
            }
            for name, slot, words, transaction in newest_first
            if address in transaction.message.account_keys
        ]
        return found[:limit]

    def _transaction(self, params: list[Json]) -> Json:
        for name, slot, words, transaction in self._history:
            if name == params[0] and not self.hide:
                content = base64.b64encode(bytes(transaction)).decode()
                return {"slot": slot, "transaction": [content, "base64"], "meta": {"err": words}, "version": 0}
        return None

    def _account_info(self, params: list[Json]) -> Json:
        found = self._svm.get_account(Pubkey.from_string(str(params[0])))
        if found is None:
            return self._seen_at(None)
        content = bytes(found.data)
        return self._seen_at(
            {
                "owner": str(found.owner),
                "data": [base64.b64encode(content).decode(), "base64"],
                "lamports": found.lamports,
                "executable": found.executable,
                "rentEpoch": 0,
                "space": len(content),
            }
        )

    def _simulate(self, params: list[Json]) -> Json:
        outcome = self._svm.simulate_transaction(_read(params))
        words = str(outcome.err()) if isinstance(outcome, FailedTransactionMetadata) else None
        return self._seen_at({"err": words, "logs": []})

    def _send(self, params: list[Json]) -> Json:
        transaction = _read(params)
        name = str(transaction.signatures[0])
        if self.drop_next:
            self.drop_next -= 1
            return name
        if name not in self._seen:
            outcome = self._svm.send_transaction(transaction)
            words = str(outcome.err()) if isinstance(outcome, FailedTransactionMetadata) else None
            if words is None or "Blockhash" not in words:  # one that is too old is dropped, not executed
                self._seen[name] = (self._height(), words)
                self._history.append((name, self._height(), words, transaction))
                self.executed[name] += 1
        return name

    def _statuses(self, params: list[Json]) -> Json:
        names = params[0]
        assert isinstance(names, list)
        found: list[Json] = []
        for name in names:
            known = None if self.hide else self._seen.get(str(name))
            if known is None or self._svm.get_transaction(Signature.from_string(str(name))) is None:
                found.append(None)
            else:
                status: Json = {"Ok": None} if known[1] is None else {"Err": known[1]}
                found.append(
                    {
                        "slot": known[0],
                        "confirmations": 1,
                        "err": known[1],
                        "status": status,
                        "confirmationStatus": "confirmed",
                    }
                )
        return self._seen_at(found)

    def _seen_at(self, value: Json) -> Json:
        return {"context": {"slot": self._height(), "apiVersion": "2.3.0"}, "value": value}

    def _height(self) -> int:
        slot: int = self._svm.get_clock().slot
        return slot

    def _make_mint(self) -> None:
        state = Mint(Pubkey.default(), 10**15, DECIMALS, True, None)
        self._svm.set_account(Pubkey.from_string(self.mint), Account(1_461_600, bytes(state), TOKEN_PROGRAM))


def _memo(transaction: VersionedTransaction) -> str | None:
    """As Agave writes them: `[length] text`, joined by `; `."""
    message = transaction.message
    found = [
        bytes(each.data).decode()
        for each in message.instructions
        if str(message.account_keys[each.program_id_index]) == MEMO_PROGRAM
    ]
    return "; ".join(f"[{len(text.encode())}] {text}" for text in found) or None


def _read(params: list[Json]) -> VersionedTransaction:
    return VersionedTransaction.from_bytes(base64.b64decode(str(params[0])))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    node: SolanaNode

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is nothing to report."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is one packet
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.node.down:
            self.close_connection = True
            return
        answer: dict[str, Json] = {"jsonrpc": "2.0", "id": body["id"]}
        try:
            answer["result"] = self.server.node.answer(body["method"], body.get("params", []))
        except Exception as error:
            answer["error"] = {"code": -32602, "message": str(error)[:200]}
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged."""
