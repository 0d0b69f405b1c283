"""The page in a real browser: enrolment, signing, refusals, closed tabs, and Spec D row C, a transfer that begins there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
import uvicorn
from msgspec import Raw
from playwright.async_api import BrowserContext, Page
from starlette.applications import Starlette

from life.aios.json import JsonObject
from life.aios.ports.custody import Custody, TransferAuthorization
from life.anima.custody.in_process import InProcessAnima
from life.anima.custody.split import SplitAnima
from life.anima.custody.wallet_rules import WalletRequest, WalletRules
from life.anima.custody.web_crypto.anima import WebCryptoAnima
from life.anima.custody.web_crypto.ceremony import RelyingParty
from life.anima.custody.web_crypto.confirmed_wallet import ConfirmedWallet, KnownToken
from life.anima.custody.web_crypto.desk import SigningDesk
from life.anima.custody.web_crypto.enrolling import EnrolmentDesk
from life.anima.custody.web_crypto.enrolment import EnrolmentFile
from life.anima.custody.web_crypto.server import BrowserApi, PaymentDesk, PaymentOrder, PaymentOutcome
from life.anima.errors import CustodyUnavailableError, UserRejectedError
from life.crypto import jws
from life.haima.facilitator.self_hosted import SelfHostedFacilitator
from life.haima.x402 import exact
from life.haima.x402.price import make_offer, parse_price
from life.host.clock import SystemClock, SystemEntropy
from life.host.http.problem import EXCEPTION_HANDLERS
from life.host.http.routes import routes
from life.host.http.server import bind
from life.lago.journal.memory import MemoryJournal
from life.testing.chain import PAYEE
from life.testing.custody import CustodyBench, CustodySuite
from tests.haima.test_chain_evm import EvmBenches
from tests.harness.anvil import PAYER, USDC, Anvil
from tests.harness.chromium import Passkeys, chromium, with_passkeys
from tests.harness.fixtures import chain, session_chain

__all__ = ["chain", "session_chain"]

pytestmark = [pytest.mark.part("chromium"), pytest.mark.slow]

NETWORK = "eip155:84532"
OFFER = make_offer(parse_price("$0.01", network=NETWORK), PAYEE)
CLOCK, ENTROPY = SystemClock(), SystemEntropy()


@dataclass
class Site:
    """A server with one identity's page, and a browser that looks at it."""

    context: BrowserContext
    page: Page
    passkeys: Passkeys
    url: str
    party: RelyingParty
    file: EnrolmentFile
    enrolling: EnrolmentDesk
    desk: SigningDesk
    faults: list[str]
    asked_elsewhere: list[str]

    async def enrol(self) -> str:
        """By the invitation's link; the DID."""
        await self.page.goto(f"{self.url}#enrol={self.enrolling.invite()}")
        await self.page.click("#enrol")
        await self.notice("This browser is enrolled.")
        return self.desk.enrolment().did

    async def notice(self, text: str) -> None:
        """Wait until the page says so."""
        await self.page.locator("#notice", has_text=text).wait_for(timeout=10_000)

    async def confirm(self) -> None:
        """Press the first request's button."""
        await self.page.click(".request .approve")


@dataclass
class Payments:
    """Where the page's payments go; set after the server has started."""

    desk: PaymentDesk | None = None

    async def pay(self, order: PaymentOrder) -> PaymentOutcome:
        """By whatever is set."""
        assert self.desk is not None
        return await self.desk(order)


@asynccontextmanager
async def site(folder: Path, payments: Payments | None = None, *, leave_s: int = 1) -> AsyncIterator[Site]:
    """Server and browser."""
    listening = bind("127.0.0.1", 0)
    origin = f"http://localhost:{listening.getsockname()[1]}"
    party = RelyingParty(rp_id="localhost", origins=(origin,))
    file = EnrolmentFile(folder / "browser.json")
    enrolling = EnrolmentDesk(party, file, clock=CLOCK, entropy=ENTROPY)
    desk = SigningDesk(party, file, clock=CLOCK, entropy=ENTROPY, answer_s=30, leave_s=leave_s)
    api = BrowserApi(party, enrolling, desk, pay=None if payments is None else payments.pay)
    app = Starlette(
        routes=routes([*api.page_operations(), *api.operations()]),
        exception_handlers=EXCEPTION_HANDLERS,
    )
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        async with chromium(folder / "profile") as context:
            page = context.pages[0] if context.pages else await context.new_page()
            faults: list[str] = []
            elsewhere: list[str] = []
            page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: faults.append(str(error)))
            context.on("request", lambda asked: None if asked.url.startswith(origin) else elsewhere.append(asked.url))
            passkeys = await with_passkeys(context, page)
            url = f"{origin}/custody/browser"
            yield Site(context, page, passkeys, url, party, file, enrolling, desk, faults, elsewhere)
    finally:
        server.should_exit = True
        await serving


async def test_enrol_and_sign(tmp_path: Path) -> None:
    """By the invitation's link: a key that scripts can't read, a passkey, a token that our verifier takes; the page shows
    what is signed, text stays text, nothing is asked for elsewhere, and its record is private."""
    async with site(tmp_path) as here:
        did = await here.enrol()
        handle = WebCryptoAnima.open(here.desk, did=did)
        evil = '<img src=x onerror="document.title=1"><b>bold</b>\u202egnp'
        claims: JsonObject = {"aud": "lago", "note": evil, "exp": 1_893_456_000, "terms": {"amount": "0 USDC"}}
        task = asyncio.create_task(handle.sign_token(claims))
        card = here.page.locator(".request")
        await card.wait_for()
        shown = await card.inner_text()
        assert "<b>bold</b>\\u{202e}gnp" in shown and "lago" in shown and "\u202e" not in shown
        assert await card.locator("img, b").count() == 0
        await here.confirm()
        token = await task
        assert jws.verify(token, typ="JWT").signer.did == did
        await here.notice("Confirmed and signed.")
        await card.wait_for(state="detached")
        assert here.desk.enrolment().sign_count == (await here.passkeys.credentials())[0]["signCount"] > 0
        exported = await here.page.evaluate(EXPORT_ALL)
        assert exported and all(outcome == "InvalidAccessError" for outcome in exported), exported
        assert here.asked_elsewhere == [] and here.faults == []
    assert (tmp_path / "browser.json").stat().st_mode & 0o777 == 0o600


EXPORT_ALL = """async () => {
  const database = await new Promise((ok) => {
    const request = indexedDB.open("life-custody", 1);
    request.onsuccess = () => ok(request.result);
  });
  const pairs = await new Promise((ok) => {
    const request = database.transaction("keys").objectStore("keys").getAll();
    request.onsuccess = () => ok(request.result);
  });
  const outcomes = [];
  for (const pair of pairs)
    for (const format of ["pkcs8", "jwk", "raw"])
      await crypto.subtle.exportKey(format, pair.privateKey).then(
        () => outcomes.push("exported"),
        (error) => outcomes.push(error.name),
      );
  return outcomes;
}"""


async def test_the_page_cannot_make_html_of_text(tmp_path: Path) -> None:
    """Trusted Types and the policy hold in this browser: no HTML from text, no inline script, no request elsewhere."""
    async with site(tmp_path) as here:
        await here.page.goto(here.url)
        await here.page.locator("#identity", has_text="No browser is enrolled yet.").wait_for()
        refused = await here.page.evaluate(
            """async () => {
              const outcomes = [];
              try { document.body.innerHTML = "<b>x</b>"; outcomes.push("html"); } catch (error) { outcomes.push(error.name); }
              try { await fetch("http://127.0.0.1:1/"); outcomes.push("fetched"); } catch (error) { outcomes.push(error.name); }
              return outcomes;
            }"""
        )
        assert refused == ["TypeError", "TypeError"]
        assert await here.page.locator("#enrolment").is_hidden()


async def test_the_person_says_no(tmp_path: Path) -> None:
    """By the button: UserRejectedError. By a passkey that does not recognise them: nothing is signed, and it can be tried
    again."""
    async with site(tmp_path) as here:
        await here.enrol()
        handle = WebCryptoAnima.open(here.desk)
        task = asyncio.create_task(handle.sign_token({"n": 1}))
        await here.page.click(".request .refuse")
        with pytest.raises(UserRejectedError):
            await task
        await here.notice("Refused. Nothing was signed.")
        await here.passkeys.recognise(False)
        task = asyncio.create_task(handle.sign_token({"n": 2}))
        await here.confirm()
        await here.notice("did not recognise you")
        assert not task.done()
        await here.passkeys.recognise(True)
        await here.confirm()
        assert await task


async def test_the_tab_is_closed(tmp_path: Path) -> None:
    """Loaded anew, the page goes on with its request; closed, the call ends with PageClosedError and nothing is signed;
    opened again, it signs."""
    async with site(tmp_path) as here:
        await here.enrol()
        handle = WebCryptoAnima.open(here.desk)
        task = asyncio.create_task(handle.sign_token({"n": 1}))
        await here.page.locator(".request").wait_for()
        await here.page.reload()
        await here.confirm()
        assert await task
        task = asyncio.create_task(handle.sign_token({"n": 2}))
        await here.page.locator(".request").wait_for()
        await here.page.goto("about:blank")
        with pytest.raises(CustodyUnavailableError) as refusal:
            await task
        assert refusal.value.code == "custody.page_closed"
        task = asyncio.create_task(handle.sign_token({"n": 3}))
        await here.page.goto(here.url)
        await here.confirm()
        assert await task


async def test_another_browser(tmp_path: Path) -> None:
    """A browser without the key can see the page and sign nothing; an invitation's link is worth nothing afterwards; an
    address instead of localhost has no passkeys (AN-WEB-6)."""
    async with site(tmp_path / "one") as here:
        link = f"{here.url}#enrol={here.enrolling.invite()}"
        await here.page.goto(link)
        await here.page.click("#enrol")
        await here.notice("This browser is enrolled.")
        task = asyncio.create_task(WebCryptoAnima.open(here.desk).sign_token({}))
        async with chromium(tmp_path / "other") as context:
            page = await context.new_page()
            await with_passkeys(context, page)
            await page.goto(link)
            await page.click(".request .approve")
            await page.locator("#notice", has_text="does not hold the agent's key").wait_for()
            assert await page.locator("#enrolment").is_hidden()
        assert not task.done()
        await here.confirm()
        assert await task


async def test_enrolment_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """With a wrong code, or a person who is not recognised: no record here, no key left in the browser; then it works."""
    async with site(tmp_path) as here:
        here.enrolling.invite()
        await here.page.goto(f"{here.url}#enrol=wrong")
        await here.page.click("#enrol")
        await here.notice("The invitation's code is wrong.")
        assert await here.page.evaluate(EXPORT_ALL) == []
        await here.passkeys.recognise(False)
        await here.page.goto("about:blank")
        await here.page.goto(f"{here.url}#enrol={here.enrolling.invite()}")
        await here.page.click("#enrol")
        await here.notice("did not recognise you")
        assert await here.page.evaluate(EXPORT_ALL) == []
        assert here.file.load() is None
        await here.passkeys.recognise(True)
        await here.page.goto("about:blank")
        assert await here.enrol()


async def pressing(page: Page) -> None:
    """A person who agrees to everything."""
    while True:
        button = page.locator(".request .approve:enabled").first
        await button.wait_for(timeout=0)
        await button.click()


async def test_conformance(tmp_path: Path) -> None:
    """Every scenario of the suite over the page in one browser; wallet operations are declared gaps."""
    suite = CustodySuite()
    async with site(tmp_path) as here:
        await here.enrol()

        async def make(_rules: WalletRules) -> Custody:
            return WebCryptoAnima.open(here.desk)

        bench = CustodyBench(
            open=make,
            close=lambda handle: handle.close(),  # type: ignore[attr-defined]
            now_s=lambda: CLOCK.now_us() // 1_000_000,
            backend="web_crypto",
            operations=frozenset({"sign_token"}),
            user_confirmation=True,
        )
        person = asyncio.create_task(pressing(here.page))
        scenarios = sorted(name for name in dir(suite) if name.startswith("test_cus_"))
        assert len(scenarios) >= 34
        try:
            for name in scenarios:
                await getattr(suite, name)(bench, await make(WalletRules()))
        finally:
            person.cancel()
            await asyncio.gather(person, return_exceptions=True)


def ten_cents_at_most(request: WalletRequest) -> str | None:
    """The limit of this test's soul."""
    allowed = isinstance(request, TransferAuthorization) and request.value_atomic <= 100_000
    return None if allowed else "Over the limit of ten cents."


@pytest.mark.part("anvil", "solc")
async def test_a_transfer_from_the_browser_settles(chain: Anvil, tmp_path: Path) -> None:
    """Spec D row C. A person types a recipient and an amount, sees the terms and confirms with the passkey; the wallet on
    the server signs, our facilitator settles, the money has moved once. Refused or over the limit, nothing moves."""
    payments = Payments()
    async with site(tmp_path, payments) as here:
        did = await here.enrol()
        rules = WalletRules(guard=ten_cents_at_most)
        wallet = InProcessAnima.from_wallet_key(bytearray(bytes.fromhex(PAYER.key[2:])), clock=CLOCK, rules=rules)
        tokens = {(NETWORK, USDC[84532]): KnownToken("USDC", 6)}
        confirmed = ConfirmedWallet(wallet, here.desk, clock=CLOCK, rules=rules, tokens=tokens)
        handle = SplitAnima(WebCryptoAnima.open(here.desk, did=did), confirmed)
        chain.mint(PAYER.address, 1_000_000)
        benches = EvmBenches(chain)
        facilitator = SelfHostedFacilitator([benches.open(chain.url)], MemoryJournal(), CLOCK, ENTROPY)

        async def pay(order: PaymentOrder) -> PaymentOutcome:
            offer = make_offer(parse_price(f"${int(order.value_atomic) / 1e6}", network=NETWORK), order.to)
            authorization = TransferAuthorization(
                network=NETWORK,
                asset=offer.requirements.asset,
                token_name="USDC",
                token_version="2",
                from_address=PAYER.address,
                to_address=order.to,
                value_atomic=int(order.value_atomic),
                valid_after_s=0,
                valid_before_s=CLOCK.now_us() // 1_000_000 + 600,
                nonce=sha256(order.order_id.encode()).digest(),
                reservation_id=order.order_id,
            )
            signature = await handle.sign_authorization(authorization)
            payload = exact.build_payload(Raw(offer.raw), authorization, signature)
            settled = await facilitator.settle(payload, offer.requirements)
            return PaymentOutcome(settled.success, settled.transaction or "", settled.error_reason or "")

        payments.desk = pay
        try:
            before, own = chain.balance_of(PAYEE), chain.balance_of(PAYER.address)

            async def typed(amount: str) -> None:
                await here.page.fill("input[name=to]", PAYEE)
                await here.page.fill("input[name=value_atomic]", amount)
                await here.page.click("#payment-form button")

            await here.page.reload()
            await typed("10000")
            card = here.page.locator(".request")
            await card.wait_for()
            shown = await card.inner_text()
            assert "0.01 USDC" in shown and PAYEE in shown and "eip155:84532" in shown
            await here.page.screenshot(path=tmp_path / "payment.png", full_page=True)
            await here.confirm()
            await here.notice("Paid. Transaction 0x")
            assert chain.balance_of(PAYEE) - before == own - chain.balance_of(PAYER.address) == 10_000
            await typed("20000")
            await here.page.click(".request .refuse")
            await here.notice("said no; nothing was signed")
            await card.wait_for(state="detached")
            await typed("100001")
            await card.wait_for()
            await here.confirm()
            await here.notice("Over the limit of ten cents.")
            assert chain.balance_of(PAYEE) - before == 10_000
            assert here.asked_elsewhere == []
        finally:
            await facilitator.aclose()
            await benches.aclose()
            await handle.close()
