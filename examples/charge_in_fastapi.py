"""Charge in FastAPI: one middleware; the handler stays as it was.

Try it offline, with play money, in three terminals:

    haima facilitator
    python examples/charge_in_fastapi.py
    haima pay http://127.0.0.1:8000/report --key <one of anvil's well-known development keys>
"""

import os

import uvicorn
from fastapi import FastAPI

import life

app = FastAPI()
app.add_middleware(
    life.Charge,
    routes={"GET /report": "$0.01"},
    pay_to=os.environ.get("PAY_TO", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
    network=os.environ.get("NETWORK", "local"),
    facilitator=os.environ.get("FACILITATOR", "http://127.0.0.1:4022"),
    directory=os.environ.get("SHOP_DIRECTORY", ".life/report-shop"),
)


@app.get("/report")
async def report() -> dict[str, str]:
    """What is sold. It runs once per payment."""
    return {"report": "All is well."}


@app.get("/")
async def index() -> dict[str, str]:
    """Free."""
    return {"for sale": "/report"}


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")))
