"""The page's routes: what they give, and from whom they take."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette

from life.anima.custody.web_crypto import server as server_module
from life.anima.custody.web_crypto.anima import WebCryptoAnima
from life.anima.custody.web_crypto.server import BrowserApi, PaymentOrder, PaymentOutcome
from life.anima.errors import UserRejectedError
from life.crypto import jws
from life.host.http.problem import EXCEPTION_HANDLERS
from life.host.http.routes import openapi_document, routes
from tests.anima.custody.web_crypto.desks import Office, enrolled
from tests.harness.soft_browser import ORIGIN, unb64

STATIC = Path(server_module.__file__).parent / "static"
BASE = "/custody/browser"


class Payer:
    """Carries out orders by remembering them."""

    def __init__(self) -> None:
        self.orders: list[PaymentOrder] = []
        self.gate = asyncio.Event()

    async def pay(self, order: PaymentOrder) -> PaymentOutcome:
        """Paid, once the gate is open."""
        self.orders.append(order)
        await self.gate.wait()
        if order.value_atomic == "13":
            raise UserRejectedError("The person in the browser said no; nothing was signed.")
        return PaymentOutcome(paid=True, transaction="0xab")


def client_of(office: Office, payer: Payer | None = None) -> httpx2.AsyncClient:
    """A client of the page's origin."""
    api = BrowserApi(office.party, office.enrolling, office.desk, pay=None if payer is None else payer.pay)
    app = Starlette(
        routes=routes([*api.page_operations(), *api.operations()]),
        exception_handlers=EXCEPTION_HANDLERS,
    )
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=ORIGIN, headers={"origin": ORIGIN})


@pytest.fixture
async def office() -> Office:
    """A browser that is enrolled."""
    return enrolled()


@pytest.fixture
async def client(office: Office) -> AsyncIterator[httpx2.AsyncClient]:
    """Its client."""
    async with client_of(office) as made:
        yield made


async def test_from_invitation_to_token() -> None:
    """The whole way over HTTP: enrol, see a request, answer it."""
    office = Office()
    async with client_of(office) as client:
        state = (await client.get(f"{BASE}/state")).json()
        assert state == {"enrolled": False, "rp_id": "localhost", "can_pay": False, "did": None, "device_key": None}
        code = office.enrolling.invite()
        body = {"code": code, "device_key": office.browser.device_key}
        asked = (await client.post(f"{BASE}/enrolment/challenge", json=body)).json()
        done = await client.post(
            f"{BASE}/enrolment",
            json={
                "code": code,
                "credential": office.browser.create(unb64(asked["challenge"])),
                "signature": office.browser.sign(asked["signing_input"]),
            },
        )
        assert done.status_code == 200
        assert (await client.get(f"{BASE}/state")).json()["did"] == done.json()["did"]
        task = asyncio.create_task(WebCryptoAnima.open(office.desk).sign_token({"aud": "x"}))
        await office.waiting()
        (request,) = (await client.get(f"{BASE}/requests")).json()
        assert request["kind"] == "token" and request["expires_in_s"] == 120
        begun = (await client.post(f"{BASE}/requests/{request['id']}/challenge")).json()
        credential, signature = office.browser.answer(begun["nonce"], request["signing_input"])
        yes = {"credential": credential, "signature": signature}
        answered = await client.post(f"{BASE}/requests/{request['id']}/answer", json=yes)
        assert answered.status_code == 204
        assert jws.verify(await task, typ="JWT").signer.did == done.json()["did"]


async def test_only_the_page_may_change_anything(office: Office, client: httpx2.AsyncClient) -> None:
    """Without the page's origin, or with a form's content type, nothing is done."""
    task = asyncio.create_task(WebCryptoAnima.open(office.desk).sign_token({}))
    (request_id,) = await office.waiting()
    for origin in ("https://evil.test", "null", "http://localhost:9999", ""):
        for path in (f"requests/{request_id}/refusal", f"requests/{request_id}/challenge", "enrolment/challenge"):
            answer = await client.post(f"{BASE}/{path}", json={}, headers={"origin": origin})
            assert answer.status_code == 403, path
            assert answer.json()["code"] == "custody.ceremony_refused"
    form = await client.post(f"{BASE}/requests/{request_id}/answer", data={"a": "b"})
    assert form.status_code == 400
    assert not task.done()
    refused = await client.post(f"{BASE}/requests/{request_id}/refusal")
    assert refused.status_code == 204
    with pytest.raises(UserRejectedError):
        await task
    assert (await client.post(f"{BASE}/requests/{request_id}/refusal")).status_code == 404


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"credential":1,"signature":""}', b"\xff", b"[" * 5000, b'{"x":"' + b"a" * 70_000]
)
async def test_bodies_that_are_none(office: Office, client: httpx2.AsyncClient, body: bytes) -> None:
    """Malformed, surplus and oversized bodies are 400 and change nothing."""
    task = asyncio.create_task(WebCryptoAnima.open(office.desk).sign_token({}))
    (request_id,) = await office.waiting()
    headers = {"content-type": "application/json"}
    answer = await client.post(f"{BASE}/requests/{request_id}/answer", content=body, headers=headers)
    assert answer.status_code == 400
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_page_is_strict(client: httpx2.AsyncClient) -> None:
    """Its policy allows its own files only; nothing in them asks for anything else, or makes HTML from text."""
    for path, kind in (("", "text/html"), ("/custody.js", "text/javascript"), ("/custody.css", "text/css")):
        answer = await client.get(BASE + path)
        assert answer.headers["content-type"].startswith(kind)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "require-trusted-types-for 'script'" in policy
        assert "unsafe" not in policy and "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not re.findall(r"https?://(?!localhost)", answer.text)
    script = (STATIC / "custody.js").read_text()
    for name in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "DOMParser",
    ):
        assert name not in script
    page = (STATIC / "index.html").read_text()
    assert not re.findall(r"\son\w+=|<style|style=|<script>", page)


def test_no_wallet_key_in_the_browser() -> None:
    """AN-WEB-4: no page of ours has secp256k1 or a library for it."""
    for file in STATIC.iterdir():
        text = file.read_text().lower()
        for name in ("secp256k1", "k-256", "noble", "elliptic", "ethers", "web3", "privatekeytoaccount", "wasm"):
            assert name not in text, (file.name, name)


async def test_orders_are_carried_out_once() -> None:
    """The same order at once and again is one payment; another order under its id is refused; a refusal is an error."""
    payer = Payer()
    office = enrolled()
    async with client_of(office, payer) as client:
        assert (await client.get(f"{BASE}/state")).json()["can_pay"] is True
        order = {"order_id": "order-0123456789", "to": "0x" + "1" * 40, "value_atomic": "5"}
        both = [asyncio.create_task(client.post(f"{BASE}/payments", json=order)) for _ in range(2)]
        while not payer.orders:
            await asyncio.sleep(0)
        payer.gate.set()
        answers = [(await one).json() for one in both] + [(await client.post(f"{BASE}/payments", json=order)).json()]
        assert answers == [{"paid": True, "transaction": "0xab", "reason": ""}] * 3
        assert len(payer.orders) == 1
        assert (await client.post(f"{BASE}/payments", json={**order, "value_atomic": "6"})).status_code == 400
        assert (await client.post(f"{BASE}/payments", json={**order, "order_id": "x"})).status_code == 400
        other = {**order, "order_id": "order-refused-000", "value_atomic": "13"}
        refused = await client.post(f"{BASE}/payments", json=other)
        assert refused.json()["code"] == "custody.user_rejected"
        assert len(payer.orders) == 2


async def test_without_a_payer_there_is_no_such_route(client: httpx2.AsyncClient) -> None:
    """What is not built is not offered."""
    assert (await client.post(f"{BASE}/payments", json={})).status_code == 404


async def test_the_stream_is_the_page() -> None:
    """While the stream is read the page is open; it says `look` at once and whenever something changes."""
    office = enrolled()
    api = BrowserApi(office.party, office.enrolling, office.desk)
    app = Starlette(routes=routes(api.operations()))
    sent: asyncio.Queue[bytes] = asyncio.Queue()
    leave = asyncio.Event()

    async def receive() -> dict[str, object]:
        await leave.wait()
        return {"type": "http.disconnect"}

    async def send(message: object) -> None:
        assert isinstance(message, dict)
        if message["type"] == "http.response.body" and message["body"]:
            sent.put_nowait(message["body"])

    scope = {"type": "http", "method": "GET", "path": f"{BASE}/changes", "headers": [], "query_string": b""}
    stream = asyncio.create_task(app(scope, receive, send))
    assert b"event: look" in await sent.get()
    waiting = asyncio.create_task(WebCryptoAnima.open(office.desk).sign_token({}))
    assert b"event: look" in await sent.get()
    leave.set()
    await stream
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


def test_the_routes_can_be_described() -> None:
    """The tables make an OpenAPI document."""
    office = enrolled()
    api = BrowserApi(office.party, office.enrolling, office.desk, pay=Payer().pay)
    document = json.loads(openapi_document("Custody", api.operations()))
    assert f"{BASE}/requests/{{request_id}}/answer" in document["paths"]
