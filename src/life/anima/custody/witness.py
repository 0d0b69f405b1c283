"""What a handle tells of its signatures and refusals, to whoever asked to be told (AN-EV-2)."""

from __future__ import annotations

from life.aios.errors import CustodyError
from life.aios.ports.custody import BackendKind, Operation
from life.anima.custody.wallet_rules import CustodyObserver
from life.anima.events import CustodyDenied, CustodySigned


class Witness:
    """Tells one observer of one handle. Without an observer it tells nobody."""

    __slots__ = ("_backend", "_did", "_guarded", "_observer")

    def __init__(
        self, observer: CustodyObserver | None, *, did: str | None, backend: BackendKind, guarded: bool
    ) -> None:
        """`guarded`: a guard judges what the wallet signs. (It has no say in tokens.)"""
        self._observer = observer
        self._did = did
        self._backend: BackendKind = backend
        self._guarded = guarded

    @property
    def listens(self) -> bool:
        """Whether anybody is told; what only the telling needs can be left out otherwise."""
        return self._observer is not None

    def signed(self, operation: Operation, purpose: str, digest: bytes, request_id: str = "") -> None:
        """Something was signed. `digest` is that of what was signed, 32 bytes."""
        if self._observer is None:
            return
        guarded = self._guarded and operation != "sign_token"
        self._observer(
            CustodySigned(
                did=self._did,
                op=operation,
                purpose=purpose,
                payload_hash=digest.hex(),
                policy_decision="guard_allowed" if guarded else "allowed",
                backend=self._backend,
                request_id=request_id,
            )
        )

    def denied(self, operation: Operation, error: CustodyError) -> None:
        """Nothing was signed, and why."""
        if self._observer is not None:
            self._observer(CustodyDenied(did=self._did, op=operation, reason=error.code))
