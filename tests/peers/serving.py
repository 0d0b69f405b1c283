"""How the Python peers serve HTTP: on loopback, on a port that is free, with a line that says when."""

from __future__ import annotations

import argparse
import socket

import uvicorn
from fastapi import FastAPI


def serving_parser(description: str) -> argparse.ArgumentParser:
    """A parser with the option every server has: ``--port``, 0 for a free one."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, default=0)
    return parser


def serve(app: FastAPI, port: int) -> None:
    """Serve until SIGTERM. Prints ``ready http://127.0.0.1:<port>`` once connections are accepted."""
    with socket.create_server(("127.0.0.1", port), backlog=128) as listening:
        # The socket listens already, so a client that comes before uvicorn's loop waits instead of being refused.
        print(f"ready http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off")).run(sockets=[listening])
