"""A real OpenBao server in development mode (part `openbao`): in memory, on loopback, unsealed, with a known root token."""

from __future__ import annotations

import re
import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from life.testing.parts import PARTS, find_openbao
from tests.harness.process import ChildProcess
from tests.harness.solidity import ROOT

ROOT_TOKEN = "root-token-of-a-test"


class OpenBao:
    """A running server and what its operator does. `address` is its URL."""

    def __init__(self, process: ChildProcess, address: str) -> None:
        self.process = process
        self.address = address
        self._http = httpx2.Client(base_url=address, trust_env=False, headers={"X-Vault-Token": ROOT_TOKEN})

    def call(self, path: str, body: dict[str, Any] | None = None, *, namespace: str = "") -> Any:
        """GET a path, or POST a body to it, as root; the answer's JSON, None when it has none."""
        headers = {"X-Vault-Namespace": namespace} if namespace else {}
        answer = (
            self._http.get(f"/v1/{path}", headers=headers)
            if body is None
            else self._http.post(f"/v1/{path}", json=body, headers=headers)
        )
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def make_key(self, name: str, *, namespace: str = "", kind: str = "ecdsa-p256") -> None:
        """A new Transit key; engine and namespace are made when they are missing."""
        if namespace:
            self.call(f"sys/namespaces/{namespace}", {})
        mounts = self.call("sys/mounts", namespace=namespace)["data"]
        if "transit/" not in mounts:
            self.call("sys/mounts/transit", {"type": "transit"}, namespace=namespace)
        self.call(f"transit/keys/{name}", {"type": kind}, namespace=namespace)

    def make_token(self, policy: str, *, ttl: str = "60s", default_policy: bool = True) -> str:
        """A token with this policy text."""
        name = f"test-{zlib.crc32(policy.encode())}"
        self.call(f"sys/policies/acl/{name}", {"policy": policy})
        wanted = {"policies": [name], "ttl": ttl, "no_default_policy": not default_policy}
        return str(self.call("auth/token/create", wanted)["auth"]["client_token"])

    def revoke(self, token: str) -> None:
        """End a token."""
        self.call("auth/token/revoke", {"token": token})

    def seal(self) -> None:
        """Seal the store."""
        self.call("sys/seal", {})

    def unseal(self) -> None:
        """Unseal it with the key that the server printed at its start."""
        found = re.search(r"Unseal Key: (\S+)", self.process.stdout())
        assert found is not None
        self.call("sys/unseal", {"key": found[1]})

    def close(self) -> None:
        """End the server."""
        self._http.close()
        self.process.stop()


@contextmanager
def openbao_server(home: Path) -> Iterator[OpenBao]:
    """A server for one test module; `home` is a folder for what it writes beside its memory."""
    binary = find_openbao(ROOT)
    if binary is None:
        raise FileNotFoundError(PARTS["openbao"].install)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = ["server", "-dev", "-dev-no-store-token", f"-dev-listen-address=127.0.0.1:{port}"]
    process = ChildProcess.spawn(
        [binary, *arguments, f"-dev-root-token-id={ROOT_TOKEN}"], name="bao", env={"HOME": str(home)}
    )
    try:
        process.wait_for_line(r"Root Token: .*")
        server = OpenBao(process, f"http://127.0.0.1:{port}")
    except BaseException:
        process.stop()
        raise
    try:
        yield server
    finally:
        server.close()
