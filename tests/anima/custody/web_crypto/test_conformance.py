"""The conformance suite over a browser: the identity alone, and with a wallet that asks the person first."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from life.aios.ports.custody import Custody
from life.anima.custody.in_process import InProcessAnima
from life.anima.custody.split import SplitAnima
from life.anima.custody.wallet_rules import WalletRules
from life.anima.custody.web_crypto.anima import WebCryptoAnima
from life.anima.custody.web_crypto.confirmed_wallet import ConfirmedWallet
from life.testing.custody import CustodyBench, CustodySuite
from tests.anima.custody.requests import NOW_S
from tests.anima.custody.web_crypto.desks import enrolled

WALLET_KEY = bytes.fromhex("bb43bbead104a9680441f1083bfc1cf5b74e3d17b544d4f18e60c12ab39613f3")
"""anima.md, appendix A, seed A."""


class TestBrowserAlone(CustodySuite):
    """Tokens; every wallet operation is a declared gap."""

    @pytest.fixture
    async def bench(self) -> AsyncIterator[CustodyBench]:
        """A browser whose person agrees to everything."""
        office = enrolled()

        async def make(_rules: WalletRules) -> Custody:
            return WebCryptoAnima.open(office.desk)

        async with office.person():
            yield CustodyBench(
                open=make,
                close=lambda handle: handle.close(),  # type: ignore[attr-defined]
                now_s=lambda: NOW_S,
                backend="web_crypto",
                operations=frozenset({"sign_token"}),
                user_confirmation=True,
            )


class TestBrowserWithWallet(CustodySuite):
    """Split custody (L4-D5): the browser confirms, a wallet elsewhere signs. Nothing is left out."""

    @pytest.fixture
    async def bench(self) -> AsyncIterator[CustodyBench]:
        """A browser and a wallet in process."""
        office = enrolled()

        async def make(rules: WalletRules) -> Custody:
            wallet = InProcessAnima.from_wallet_key(bytearray(WALLET_KEY), clock=office.clock, rules=rules)
            confirmed = ConfirmedWallet(wallet, office.desk, clock=office.clock, rules=rules)
            return SplitAnima(WebCryptoAnima.open(office.desk), confirmed)

        async with office.person():
            yield CustodyBench(
                open=make,
                close=lambda handle: handle.close(),  # type: ignore[attr-defined]
                now_s=lambda: NOW_S,
                backend="web_crypto",
                user_confirmation=True,
                exportable=True,
            )
