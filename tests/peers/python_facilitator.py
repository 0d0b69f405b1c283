"""The official Python facilitator over HTTP: PyPI `x402` with its web3 signer on one chain.

POST /verify and /settle take ``{"x402Version", "paymentPayload", "paymentRequirements"}``; GET /supported lists the chain.
An exception out of the package is HTTP 500 with its text, as in its own examples.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from x402 import x402FacilitatorSync
from x402.mechanisms.evm import FacilitatorWeb3Signer
from x402.mechanisms.evm.exact import register_exact_evm_facilitator
from x402.mechanisms.evm.upto.facilitator import UptoEvmScheme
from x402.schemas import SettleResponse, VerifyResponse
from x402.schemas.helpers import parse_payment_payload, parse_payment_requirements

from tests.peers.serving import serve, serving_parser

Message = dict[str, object]


def create_app(*, rpc: str, key: str, network: str, confirmation_s: float) -> FastAPI:
    """The application; nothing is asked of the chain before the first call."""
    facilitator = x402FacilitatorSync()
    signer = FacilitatorWeb3Signer(private_key=key, rpc_url=rpc, confirmation_timeout_seconds=confirmation_s)
    register_exact_evm_facilitator(facilitator, signer, networks=network)
    facilitator.register([network], UptoEvmScheme(signer))
    app = FastAPI()

    def answer(action: Callable[..., VerifyResponse | SettleResponse], message: Message) -> JSONResponse:
        try:
            payload = parse_payment_payload(json.dumps(message["paymentPayload"]).encode())
            wanted = json.dumps(message["paymentRequirements"]).encode()
            requirements = parse_payment_requirements(payload.x402_version, wanted)
            outcome = action(payload, requirements)
        except Exception as error:
            return JSONResponse({"error": f"{type(error).__name__}: {error}"}, status_code=500)
        return JSONResponse(outcome.model_dump(by_alias=True, exclude_none=True))

    # Plain functions: FastAPI runs them in threads, since the signer blocks.
    @app.post("/verify")
    def verify(message: Message) -> JSONResponse:
        return answer(facilitator.verify, message)

    @app.post("/settle")
    def settle(message: Message) -> JSONResponse:
        return answer(facilitator.settle, message)

    @app.get("/supported")
    def supported() -> JSONResponse:
        return JSONResponse(facilitator.get_supported().model_dump(by_alias=True, exclude_none=True))

    return app


def main() -> None:
    """Read the command line and serve."""
    parser = serving_parser(__doc__ or "")
    parser.add_argument("--rpc", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--network", default="eip155:84532")
    parser.add_argument("--confirmation-s", type=float, default=30.0)
    given = parser.parse_args()
    serve(
        create_app(rpc=given.rpc, key=given.key, network=given.network, confirmation_s=given.confirmation_s), given.port
    )


if __name__ == "__main__":
    main()
