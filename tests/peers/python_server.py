"""The official Python resource server: the FastAPI middleware of PyPI `x402` before /paid; /free is open.

Both routes answer ``{"route", "method", "runs"}``; `runs` counts how often the handler ran. The process is ready only after
it has read the facilitator's /supported.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, cast

from fastapi import FastAPI, Request, Response
from x402 import x402ResourceServer
from x402.http import FacilitatorConfig, HTTPFacilitatorClient, PaymentOption, RouteConfig
from x402.http.middleware.fastapi import payment_middleware
from x402.mechanisms.evm.exact import ExactEvmServerScheme as ExactEvmScheme
from x402.mechanisms.evm.exact import register_exact_evm_server
from x402.mechanisms.evm.upto.server import UptoEvmScheme
from x402.schemas import AssetAmount

from tests.peers.serving import serve, serving_parser

METHODS = ["GET", "POST", "PUT", "DELETE"]


def create_app(
    *, facilitator: str, pay_to: str, network: str, price: str, way: str = "eip3009", charge: str = ""
) -> FastAPI:
    """The application, with the facilitator's answer to /supported already read. `way` is eip3009, permit2 or upto; of an
    upto payment `charge` (atomic) is taken."""
    server = x402ResourceServer(HTTPFacilitatorClient(FacilitatorConfig(url=facilitator)))
    register_exact_evm_server(server, networks=network)
    # The package declares its schemes' members more narrowly than the protocol that takes them.
    server.register(network, cast(Any, UptoEvmScheme)())
    server.initialize()
    asked: str | AssetAmount = price
    if way == "permit2":
        parsed = cast(Any, ExactEvmScheme)().parse_price(price, network)
        asked = AssetAmount(
            amount=parsed.amount, asset=parsed.asset, extra={**(parsed.extra or {}), "assetTransferMethod": "permit2"}
        )
    scheme = "upto" if way == "upto" else "exact"
    offer = PaymentOption(scheme=scheme, pay_to=pay_to, price=asked, network=network)
    route = RouteConfig(accepts=offer, description="a paid route", mime_type="application/json")
    demand_payment = payment_middleware({"/paid": route}, server, sync_facilitator_on_start=False)

    app = FastAPI()
    runs: Counter[str] = Counter()

    @app.middleware("http")
    async def paid_route(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        return await demand_payment(request, call_next)

    async def answer(request: Request, response: Response) -> dict[str, object]:
        route = request.url.path.removeprefix("/")
        runs[route] += 1
        if charge and route == "paid":
            response.headers["Settlement-Overrides"] = json.dumps({"amount": charge})
        return {"route": route, "method": request.method, "runs": runs[route]}

    for path in ("/paid", "/free"):
        app.add_api_route(path, answer, methods=METHODS)
    return app


def main() -> None:
    """Read the command line and serve."""
    parser = serving_parser(__doc__ or "")
    parser.add_argument("--facilitator", required=True)
    parser.add_argument("--pay-to", required=True)
    parser.add_argument("--network", required=True)
    parser.add_argument("--price", default="$0.01")
    parser.add_argument("--way", default="eip3009", choices=["eip3009", "permit2", "upto"])
    parser.add_argument("--charge", default="")
    given = parser.parse_args()
    app = create_app(
        facilitator=given.facilitator,
        pay_to=given.pay_to,
        network=given.network,
        price=given.price,
        way=given.way,
        charge=given.charge,
    )
    serve(app, given.port)


if __name__ == "__main__":
    main()
