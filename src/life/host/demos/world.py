"""What a process keeps for the demos: their network, their tools, and the built-in buyer. Nothing is opened before it is used.

The buyer pays for what an agent sells in a demo (`sentinel-pro`): a wallet of play money with a key that everybody knows, its books in
the project's own journal beside the agent's, under the agent id `demo-buyer`. Above its automatic limit it asks a person, like any payer; so the
question stands among the approvals and survives a restart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx2

from life.aios.json import JsonObject
from life.aios.money import MICRO_PER_USDC
from life.aios.ports.blobs import Blobs
from life.aios.ports.tools import ToolContext
from life.anima.custody.in_process import InProcessAnima
from life.anima.custody.wallet_rules import WalletRules
from life.haima.chain.local_ledger import DEVELOPMENT_ACCOUNTS
from life.haima.payer import Payer
from life.haima.policy import PaymentPolicy
from life.haima.x402.networks import LOCAL, PLAY_MONEY
from life.haima.x402.transport import AsyncPayingTransport
from life.host.demos.network import DemoNetwork
from life.host.demos.spaces import DemoSpaces, DemoSpacesParts
from life.host.demos.tool_parts import PERSON_WAIT_S, DemoParts
from life.host.demos.tools import demo_tools
from life.host.ledger import authorization_reader
from life.praxis.egress import EgressClient
from life.praxis.function_tool import FunctionTool
from life.praxis.workspace import WorkspacePolicy

if TYPE_CHECKING:
    from life.host.demos.stage import DemoStage

BUYER: Final = "demo-buyer"
BUYER_ADDRESS: Final = DEVELOPMENT_ACCOUNTS[3]
_BUYER_KEY: Final = "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6"
"""Account 3 of the mnemonic "test test … junk", which every development node prints. It holds play money and nothing else."""

_FUNDED_MICRO: Final = 5 * MICRO_PER_USDC


class DemoWorld:
    """The demos' surroundings in one process. Belongs to one event loop."""

    def __init__(self, parts: DemoSpacesParts) -> None:
        self._journal = parts.journal
        self._ledger = parts.ledger
        self._clock = parts.clock
        self._entropy = parts.entropy
        self._wallet = parts.payer.address
        self._agent_id = parts.agent_id
        self.network = DemoNetwork(self._open_stage)
        self.spaces = DemoSpaces(parts)
        self._buyer: Payer | None = None
        self._buying: httpx2.AsyncClient | None = None

    def _open_stage(self) -> DemoStage:
        from life.host.demos.stage import DemoStage, Seller  # who plays no demo imports no server

        return DemoStage(
            self._journal,
            self._ledger,
            self._clock,
            self._entropy,
            seller=Seller(self._wallet, self._agent_id),
        )

    def tools(self, client: EgressClient, blobs: Blobs, workspace: WorkspacePolicy) -> list[FunctionTool[..., object]]:
        """The demos' tools, over the agent's own client."""
        parts = DemoParts(client, blobs, self._journal, self._clock, self._entropy, self._agent_id, workspace, self.buy)
        return demo_tools(parts)

    async def fund(self) -> None:
        """Play money for the agent and the buyer, where they have too little of it."""
        for address in (self._wallet, BUYER_ADDRESS):
            if await self._ledger.balance(address, asset=PLAY_MONEY.address) < _FUNDED_MICRO:
                await self._ledger.fund(address, _FUNDED_MICRO, asset=PLAY_MONEY.address, reason="demonstration")

    async def buy(self, url: str, context: ToolContext) -> JsonObject:
        """Let the built-in buyer buy what `url` sells; the receipt. PaymentErrors: nobody allowed it, or it can't be paid."""
        client = await self._buyers_client()
        purchase = {
            "purchase_id": f"demo-{context.idempotency_key}"[:200],
            "session_id": context.session_id,
            "task_id": context.run_id,
            "approval_wait_s": PERSON_WAIT_S,
        }
        answer = await client.post(url, json={"session": context.session_id}, extensions={"life": purchase})
        receipt = answer.extensions.get("life.settlement")
        shown = {
            name: getattr(receipt, name)
            for name in ("state", "amount_micro", "transaction", "network", "pay_to")
            if isinstance(getattr(receipt, name, None), str | int)
        }
        return {"status": answer.status_code, "settlement": shown, "answer": answer.json()}

    async def aclose(self) -> None:
        """Close what was opened."""
        await self.spaces.aclose()
        if self._buying is not None:
            await self._buying.aclose()
        if self._buyer is not None:
            await self._buyer.aclose()
        await self.network.aclose()

    async def _buyers_client(self) -> httpx2.AsyncClient:
        if self._buying is None:
            custody = InProcessAnima.from_wallet_key(
                bytearray.fromhex(_BUYER_KEY), clock=self._clock, rules=WalletRules(require_reservation=True)
            )
            self._buyer = Payer(
                journal=self._journal,
                custody=custody,
                clock=self._clock,
                entropy=self._entropy,
                agent_id=BUYER,
                policy=PaymentPolicy(networks=(LOCAL,)),
                authorization_state=authorization_reader([self._ledger]),
            )
            await self._buyer.open()
            nowhere = httpx2.MockTransport(lambda request: httpx2.Response(502))
            self._buying = httpx2.AsyncClient(
                transport=AsyncPayingTransport(self._buyer, self.network.around(nowhere)), trust_env=False
            )
        return self._buying
