"""The official Python resource server on Solana: the FastAPI middleware of PyPI `x402[svm]` before /paid."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from x402 import x402ResourceServer
from x402.http import FacilitatorConfig, HTTPFacilitatorClient, PaymentOption, RouteConfig
from x402.http.middleware.fastapi import payment_middleware
from x402.mechanisms.svm.exact import register_exact_svm_server

from tests.peers.serving import serve, serving_parser


def create_app(*, facilitator: str, pay_to: str, network: str, rpc: str | None) -> FastAPI:
    """The application, with the facilitator's answer to /supported already read. With `rpc` its terms hint at a block."""
    server = x402ResourceServer(HTTPFacilitatorClient(FacilitatorConfig(url=facilitator)))
    register_exact_svm_server(server, networks=network, rpc_url=rpc)
    server.initialize()
    offer = PaymentOption(scheme="exact", pay_to=pay_to, price="$0.01", network=network)
    route = RouteConfig(accepts=offer, description="a paid route", mime_type="application/json")
    demand_payment = payment_middleware({"/paid": route}, server, sync_facilitator_on_start=False)
    app = FastAPI()

    @app.middleware("http")
    async def paid_route(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        return await demand_payment(request, call_next)

    @app.get("/paid")
    async def answer() -> dict[str, str]:
        return {"goods": "official"}

    return app


def main() -> None:
    """Read the command line and serve."""
    parser = serving_parser(__doc__ or "")
    for name in ("--facilitator", "--pay-to", "--network"):
        parser.add_argument(name, required=True)
    parser.add_argument("--rpc")
    given = parser.parse_args()
    serve(
        create_app(facilitator=given.facilitator, pay_to=given.pay_to, network=given.network, rpc=given.rpc), given.port
    )


if __name__ == "__main__":
    main()
