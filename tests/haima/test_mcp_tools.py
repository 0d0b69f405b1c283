"""Paid MCP tools, both ways, with the official SDK 2.x: in memory and over stdio."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from mcp import Client, StdioServerParameters
from mcp.server.mcpserver import MCPServer
from mcp_types import CallToolResult
from x402.schemas import PaymentRequired

from life.aios.errors import InvalidInputError
from life.anima.custody.in_process import InProcessAnima
from life.haima.errors import OutcomeUnknownError, PolicyDeniedError
from life.haima.payer import Payer
from life.haima.policy import PaymentPolicy
from life.haima.x402 import codes
from life.haima.x402.bazaar import ToolDiscovery
from life.haima.x402.mcp import PAYMENT_META, PAYMENT_RESPONSE_META
from life.haima.x402.mcp.client import PayingTools
from life.haima.x402.mcp.server import PaidTools
from life.haima.x402.networks import LOCAL
from life.haima.x402.till import Till
from life.host.clock import SystemClock, SystemEntropy
from life.lago.journal.memory import MemoryJournal
from life.testing.chain import PAYEE, PAYER
from life.testing.clock import ManualClock, SeededEntropy
from tests.haima.shop import PRICE_ATOMIC, Shop, plain_app

PAYER_KEY = bytes.fromhex("59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d")


class Tools:
    """An MCP server with paid tools over a shop's ledger, and how often each tool ran."""

    def __init__(self, shop: Shop, **options: Any) -> None:
        self.shop = shop
        self.runs: list[str] = []
        self.gate: asyncio.Event | None = None
        self.till = Till(
            pay_to=PAYEE,
            network=LOCAL,
            facilitator=options.pop("facilitator", shop.facilitator),
            journal=shop.journal,
            clock=shop.clock,
            entropy=shop.entropy,
            sole_server=True,
            **options,
        )
        self.paid = PaidTools(self.till)
        self.server = MCPServer("tools", extensions=[self.paid])

        @self.server.tool()
        @self.paid.tool(
            "$0.01",
            description="the weather",
            discovery=ToolDiscovery(input_schema={"type": "object"}, example={"city": "Oslo"}),
        )
        async def forecast(city: str) -> dict[str, str]:
            """Tomorrow's weather."""
            self.runs.append(city)
            if self.gate is not None:
                await self.gate.wait()
            return {"forecast": f"sun over {city}"}

        @self.server.tool()
        @self.paid.tool("$0.01")
        async def fails(city: str) -> str:
            """Always fails."""
            self.runs.append(city)
            raise ValueError("no weather")

        @self.server.tool()
        @self.paid.tool("$0.01", settle_first=True)
        async def careful(city: str) -> str:
            """Charges first."""
            self.runs.append(city)
            return city

        @self.server.tool()
        async def free(city: str) -> str:
            """Costs nothing."""
            return city


def payment(shop: Shop, number: int, **changes: Any) -> dict[str, Any]:
    """The object that goes into `_meta`."""
    header = shop.pay(number, **changes)
    document: dict[str, Any] = msgspec.json.decode(base64.b64decode(header))
    return document


async def call(client: Client, tool: str, paid: dict[str, Any] | None = None, city: str = "Oslo") -> CallToolResult:
    """One call, with a payment if there is one."""
    meta: Any = None if paid is None else {PAYMENT_META: paid}
    return await client.call_tool(tool, {"city": city}, meta=meta)


def settlement(result: CallToolResult) -> dict[str, Any]:
    """What stands in the result about the money."""
    found: dict[str, Any] = (result.meta or {})[PAYMENT_RESPONSE_META]
    return found


@pytest.fixture
async def tools() -> AsyncIterator[Tools]:
    """Paid tools whose payer has money."""
    shop = Shop(app=plain_app, routes={"/unused": "$0.01"})
    await shop.fund()
    made = Tools(shop)
    yield made
    await made.till.aclose()
    await shop.aclose()


async def test_unpaid_call_is_asked_for_money(tools: Tools) -> None:
    """`isError`, the PaymentRequired as structured content and as the first text, the resource `mcp://tool/<name>` (x402.md §6);
    nothing ran. Free tools are left alone."""
    async with Client(tools.server) as client:
        asked = await call(client, "forecast")
        assert asked.is_error
        assert msgspec.json.decode(asked.content[0].text) == asked.structured_content  # type: ignore[union-attr]
        terms = msgspec.convert(asked.structured_content, dict[str, Any])
        assert terms["x402Version"] == 2
        assert terms["resource"]["url"] == "mcp://tool/forecast"
        assert terms["accepts"][0]["amount"] == str(PRICE_ATOMIC)
        assert terms["extensions"]["bazaar"]["info"]["input"]["toolName"] == "forecast"
        assert (await call(client, "free")).content[0].text == "Oslo"  # type: ignore[union-attr]
        assert tools.runs == []


async def test_paid_call_runs_once(tools: Tools) -> None:
    """The result comes with its settlement; a repetition gets the same result without another run or charge; the arguments'
    order does not matter."""
    async with Client(tools.server) as client:
        paid = payment(tools.shop, 1)
        first = await call(client, "forecast", paid)
        assert not first.is_error
        assert first.structured_content == {"forecast": "sun over Oslo"}
        assert settlement(first)["success"] is True
        again = await call(client, "forecast", paid)
        assert again.structured_content == first.structured_content
        assert settlement(again) == settlement(first)
        assert tools.runs == ["Oslo"]
        assert await tools.shop.earned() == await tools.shop.booked() == PRICE_ATOMIC


async def test_payment_buys_one_tool_with_its_arguments(tools: Tools) -> None:
    """The same payment for other arguments or another tool is refused."""
    async with Client(tools.server) as client:
        paid = payment(tools.shop, 1)
        await call(client, "forecast", paid)
        for tool, city in (("forecast", "Rome"), ("careful", "Oslo")):
            other = await call(client, tool, paid, city)
            assert other.is_error
            assert other.structured_content["error"] == codes.NONCE_ALREADY_USED
        assert tools.runs == ["Oslo"]


async def test_calls_at_once_run_once(tools: Tools) -> None:
    """Sixteen calls with one payment: one run, everybody gets its result."""
    tools.gate = asyncio.Event()
    async with Client(tools.server) as client:
        paid = payment(tools.shop, 1)
        asked = [asyncio.ensure_future(call(client, "forecast", paid)) for _ in range(16)]
        while not tools.runs:
            await asyncio.sleep(0)
        tools.gate.set()
        results = await asyncio.gather(*asked)
    assert {result.structured_content["forecast"] for result in results} == {"sun over Oslo"}
    assert tools.runs == ["Oslo"]


async def test_failing_tool_is_not_charged(tools: Tools) -> None:
    """A tool that fails answers with its own error and says that nothing was settled; the payment buys another tool."""
    async with Client(tools.server) as client:
        paid = payment(tools.shop, 1)
        failed = await call(client, "fails", paid)
        assert failed.is_error
        assert "fails" in failed.content[0].text  # type: ignore[union-attr]
        assert settlement(failed) == {
            "success": False,
            "transaction": "",
            "network": LOCAL,
            "errorReason": codes.HANDLER_FAILED,
        }
        assert not (await call(client, "forecast", paid)).is_error
    assert await tools.shop.earned() == PRICE_ATOMIC


async def test_wrong_arguments_are_not_charged(tools: Tools) -> None:
    """Arguments that the tool does not take are its error, uncharged."""
    async with Client(tools.server) as client:
        meta: Any = {PAYMENT_META: payment(tools.shop, 1)}
        result = await client.call_tool("forecast", {"town": 1}, meta=meta)
        assert result.is_error
        assert settlement(result)["success"] is False
    assert await tools.shop.earned() == 0


@pytest.mark.parametrize("paid", ["text", 7, [], {}, {"x402Version": 1}])
async def test_garbage_is_malformed(tools: Tools, paid: Any) -> None:
    """What is no payment is told so, and nothing runs."""
    async with Client(tools.server) as client:
        result = await call(client, "forecast", paid)
        assert result.is_error
        assert result.structured_content["code"] == "haima.malformed_payment"
        assert tools.runs == []


async def test_refused_payment_carries_the_terms(tools: Tools) -> None:
    """A payment of too little is refused with its code, in the shape of a PaymentRequired."""
    async with Client(tools.server) as client:
        result = await call(client, "forecast", payment(tools.shop, 1, value_atomic=5))
        assert result.structured_content["error"] == codes.VALUE_MISMATCH
        assert result.structured_content["accepts"]
        assert tools.runs == []


async def test_settlement_that_fails_delivers_nothing(tools: Tools) -> None:
    """When the money can't be had after the run, the payment error goes out, not the content (x402.md §6)."""
    poor = Tools(Shop(app=plain_app, routes={"/unused": "$0.01"}), verify="local")
    async with Client(poor.server) as client:
        result = await call(client, "forecast", payment(poor.shop, 1))
        assert result.is_error
        assert "sun" not in str(result)
        assert settlement(result)["success"] is False
        assert poor.runs == ["Oslo"]
    await poor.shop.aclose()


async def test_settle_first_tool(tools: Tools) -> None:
    """Charged before it runs."""
    async with Client(tools.server) as client:
        result = await call(client, "careful", payment(tools.shop, 1))
        assert not result.is_error
    found = [type(event).__name__ for event in await tools.shop.events()]
    assert found == ["ChargeClaimed", "RevenueReceived", "ChargeServed"]


def test_tools_have_fixed_prices(tools: Tools) -> None:
    """What needs HTTP is refused when the tool is declared."""
    with pytest.raises(InvalidInputError):
        tools.paid.price("x", "$0.01", stream=True)
    with pytest.raises(InvalidInputError):
        tools.paid.price("x", "a lot")


# ---- paying


@asynccontextmanager
async def payer(clock: Any, **options: Any) -> AsyncIterator[Payer]:
    """A payer with the development wallet and memory books."""
    custody = InProcessAnima.from_wallet_key(bytearray(PAYER_KEY), clock=clock)
    entropy = SeededEntropy("payer") if isinstance(clock, ManualClock) else SystemEntropy()
    policy = options.pop("policy", PaymentPolicy(auto_approve_cap_micro=1_000_000, max_tx_per_minute=1000))
    async with Payer(
        journal=options.pop("journal", None) or MemoryJournal(),
        custody=custody,
        clock=clock,
        entropy=entropy,
        agent_id="agent",
        policy=policy,
        **options,
    ) as made:
        yield made
    custody.close()


async def test_client_pays_for_what_costs_something(tools: Tools) -> None:
    """A free tool costs nothing, a paid one is decided, signed, paid and booked; the result and its receipt come together."""
    async with Client(tools.server) as client, payer(tools.shop.clock) as paying:
        mine = PayingTools(client, paying)
        free = await mine.call_tool("free", {"city": "Oslo"})
        assert (free.receipt, free.result.is_error) == (None, False)
        bought = await mine.call_tool("forecast", {"city": "Oslo"})
        assert bought.result.structured_content == {"forecast": "sun over Oslo"}
        assert bought.receipt is not None
        assert (bought.receipt.state, bought.receipt.amount_micro) == ("settled", PRICE_ATOMIC)
        assert bought.receipt.transaction.startswith("local:")
    assert await tools.shop.earned() == PRICE_ATOMIC
    assert tools.runs == ["Oslo"]


async def test_client_repeats_a_purchase_safely(tools: Tools) -> None:
    """One purchase id is one payment: the second call gets the same result, nothing moves again."""
    async with Client(tools.server) as client, payer(tools.shop.clock) as paying:
        mine = PayingTools(client, paying)
        results = [await mine.call_tool("forecast", {"city": "Oslo"}, purchase_id="order-1") for _ in range(2)]
        assert results[0].result.structured_content == results[1].result.structured_content
    assert await tools.shop.earned() == PRICE_ATOMIC
    assert tools.runs == ["Oslo"]


async def test_client_keeps_to_its_ceiling(tools: Tools) -> None:
    """A call that costs more than it may is refused by the payer's own policy; nothing is signed."""
    async with Client(tools.server) as client, payer(tools.shop.clock) as paying:
        with pytest.raises(PolicyDeniedError):
            await PayingTools(client, paying).call_tool("forecast", {"city": "Oslo"}, max_amount_micro=9_999)
    assert await tools.shop.events() == []


async def test_client_learns_of_a_failing_tool(tools: Tools) -> None:
    """A tool that fails: its result comes back, the receipt says that the payment was refused, and nothing was charged."""
    async with Client(tools.server) as client, payer(tools.shop.clock) as paying:
        failed = await PayingTools(client, paying).call_tool("fails", {"city": "Oslo"})
        assert failed.result.is_error
        assert failed.receipt is not None
        assert (failed.receipt.state, failed.receipt.reason) == ("refused", codes.HANDLER_FAILED)
    assert await tools.shop.earned() == 0


async def test_lost_answer_is_an_unknown_outcome(tools: Tools) -> None:
    """The connection breaks after the payment left: the outcome is unknown, and the repeated call finishes it with the identical
    payment."""

    class Breaking:
        def __init__(self, client: Client) -> None:
            self.client = client
            self.broken = False

        async def call_tool(self, name: str, arguments: Any = None, timeout: Any = None, *, meta: Any = None) -> Any:
            result = await self.client.call_tool(name, arguments, timeout, meta=meta)
            if meta is not None and not self.broken:
                self.broken = True
                raise ConnectionError("cut")
            return result

    async with Client(tools.server) as client, payer(tools.shop.clock) as paying:
        mine = PayingTools(Breaking(client), paying)
        with pytest.raises(OutcomeUnknownError):
            await mine.call_tool("forecast", {"city": "Oslo"})
        again = await mine.call_tool("forecast", {"city": "Oslo"})
        assert again.result.structured_content == {"forecast": "sun over Oslo"}
    assert await tools.shop.earned() == PRICE_ATOMIC
    assert tools.runs == ["Oslo"]


async def test_arguments_must_be_json(tools: Tools) -> None:
    """What can't be written as JSON can't be paid for, or told apart from other arguments."""
    async with Client(tools.server) as client, payer(tools.shop.clock) as paying:
        with pytest.raises(InvalidInputError, match="no JSON"):
            await PayingTools(client, paying).call_tool("forecast", {"city": object()})


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("life.haima.x402.mcp.server", "mcp", "mcp"),
        ("life.haima.x402.mcp.client", "mcp_types", "mcp"),
        ("life.haima.x402.fastapi_charge", "fastapi", "fastapi"),
    ],
)
def test_missing_extra_is_one_sentence(module: str, package: str, extra: str) -> None:
    """Without the package, importing the adapter names the extra."""
    code = (
        "import sys\n"
        f"sys.modules[{package!r}] = None\n"
        "from life.aios.errors import MissingExtraError\n"
        "try:\n"
        f"    import {module}\n"
        "except MissingExtraError as error:\n"
        "    print(error.next_step)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == f"pip install 'lifeos[{extra}]'"


async def test_over_stdio_and_a_restart(tmp_path: Path) -> None:
    """A tool of another process over stdio: paid, then the process starts again and the repeated purchase gets the kept result."""
    clock = SystemClock()
    runs = tmp_path / "runs"
    command = StdioServerParameters(
        command=sys.executable,
        args=[
            "-m",
            "tests.haima.mcp_shop_process",
            f"--journal={tmp_path / 'journal.db'}",
            f"--runs={runs}",
        ],
        cwd=str(Path(__file__).parents[2]),
    )
    async with payer(clock) as paying:
        results = []
        for _ in range(2):
            async with Client(command) as client:
                results.append(
                    await PayingTools(client, paying).call_tool("forecast", {"city": "Oslo"}, purchase_id="o")
                )
        first, second = results
        assert first.receipt is not None
        assert first.receipt.state == "settled"
        assert first.receipt.payment.reserved.wallet == PAYER
        assert first.result.structured_content == second.result.structured_content
    assert runs.read_text() == "Oslo\n"


async def test_official_schema_of_our_terms(tools: Tools) -> None:
    """PyPI x402 reads our unpaid result as a PaymentRequired of version 2."""
    async with Client(tools.server) as client:
        asked = await call(client, "forecast")
        read = PaymentRequired.model_validate(asked.structured_content)
        assert read.x402_version == 2
        assert read.accepts[0].pay_to == PAYEE
