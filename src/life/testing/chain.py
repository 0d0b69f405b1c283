"""Conformance suite of the Chain port (`life.aios.ports.chain`): every backend passes the same tests.

Subclass `ChainSuite` in a test module and give it a fixture `bench` that returns a `ChainBench` over a fresh network::

    class TestMyChain(ChainSuite):
        @pytest.fixture
        async def bench(self) -> ChainBench: ...

The payer's key is one that everybody knows (the second development account of anvil and Hardhat), because the suite signs
with it. Fund nothing with it that has value.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import pytest

from life.aios.ports.chain import Chain, Prepared, Refusal, Settlement
from life.aios.ports.custody import PaymentAuthorization, PermitTransfer, TransferAuthorization
from life.crypto.permit2 import EXACT_PROXY, UPTO_PROXY
from life.crypto.secp256k1 import ORDER, sign_recoverable
from life.haima.x402 import authorization as payments
from life.haima.x402 import codes

PAYER: Final = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
_PAYER_KEY: Final = bytes.fromhex("59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d")
STRANGER_KEY: Final = bytes.fromhex("5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a")
PAYEE: Final = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
_POLLS: Final = 200
_POLL_S: Final = 0.02


@dataclass(frozen=True)
class ChainBench:
    """What the suite needs of a backend's network: the port, the token, and ways to give money and to look."""

    chain: Chain
    asset: str
    token_name: str
    token_version: str
    fund: Callable[[str, int], Awaitable[None]]
    """Give an address so many atomic units."""
    balance: Callable[[str], Awaitable[int]]
    """Atomic units that an address holds."""
    now_s: Callable[[], int]
    """The network's time in Unix seconds."""
    reopen: Callable[[], Chain]
    """Another instance over the same network, which knows nothing of the first one's memory."""
    allow: Callable[[str], Awaitable[None]]
    """Let Permit2 pull every unit of an address, where the network asks for that."""

    def authorization(self, number: int, *, value_atomic: int = 10_000) -> TransferAuthorization:
        """An authorization of PAYER for PAYEE, valid for the next hour; each `number` has its own nonce."""
        now_s = self.now_s()
        return TransferAuthorization(
            network=self.chain.network,
            asset=self.asset,
            token_name=self.token_name,
            token_version=self.token_version,
            from_address=PAYER,
            to_address=PAYEE,
            value_atomic=value_atomic,
            valid_after_s=now_s - 600,
            valid_before_s=now_s + 3600,
            nonce=number.to_bytes(32, "big"),
        )

    def permit(self, number: int, *, value_atomic: int = 10_000, upto: bool = False) -> PermitTransfer:
        """A Permit2 payment of PAYER for PAYEE, valid for the next hour; `upto` binds it to the network's settler."""
        return PermitTransfer(
            network=self.chain.network,
            asset=self.asset,
            from_address=PAYER,
            to_address=PAYEE,
            value_atomic=value_atomic,
            spender=UPTO_PROXY if upto else EXACT_PROXY,
            nonce=number << 200 | number,
            deadline_s=self.now_s() + 3600,
            valid_after_s=0,
            facilitator=self.chain.settler if upto else None,
        )


def sign(authorization: PaymentAuthorization, key: bytes = _PAYER_KEY) -> bytes:
    """65 bytes r‖s‖v over an authorization, by a key that everybody knows."""
    return sign_recoverable(payments.digest(authorization), bytearray(key))


def with_high_s(signature: bytes) -> bytes:
    """The other signature of the same message: s becomes n - s and v flips (EIP-2 forbids it)."""
    s = ORDER - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes((55 - signature[64],))


async def outcome(
    chain: Chain, transaction_hash: str, authorization: PaymentAuthorization, *, value_atomic: int | None = None
) -> Settlement:
    """The end of a transaction that was sent, waited for at most four seconds."""
    settled = await chain.settlement(transaction_hash, authorization, value_atomic=value_atomic)
    for _ in range(_POLLS):
        if settled.state in ("confirmed", "reverted"):
            break
        await asyncio.sleep(_POLL_S)
        settled = await chain.settlement(transaction_hash, authorization, value_atomic=value_atomic)
    return settled


async def settle(
    chain: Chain, authorization: PaymentAuthorization, signature: bytes, *, value_atomic: int | None = None
) -> tuple[Prepared, Settlement]:
    """Prepare, send and wait."""
    prepared = await chain.prepare(authorization, signature, value_atomic=value_atomic)
    await chain.broadcast(prepared)
    return prepared, await outcome(chain, prepared.transaction_hash, authorization, value_atomic=value_atomic)


class ChainSuite:
    """The promises of the port. Every test gets a network of its own."""

    @pytest.fixture
    async def bench(self) -> ChainBench:
        """The network under test; a backend's own subclass says which."""
        raise pytest.UsageError("a subclass of ChainSuite needs a fixture `bench`")

    async def test_check_moves_nothing(self, bench: ChainBench) -> None:
        """A good payment passes the check, however often, and no money moves by it."""
        await bench.fund(PAYER, 10_000)
        authorization = bench.authorization(1)
        for _ in range(2):
            assert await bench.chain.check(authorization, sign(authorization)) is None
        assert await bench.balance(PAYER) == 10_000
        assert await bench.balance(PAYEE) == 0

    async def test_settles_the_exact_amount(self, bench: ChainBench) -> None:
        """The hash is known before anything leaves; after the broadcast exactly the signed amount has moved."""
        await bench.fund(PAYER, 25_000)
        authorization = bench.authorization(1)
        prepared = await bench.chain.prepare(authorization, sign(authorization))
        before = await bench.chain.settlement(prepared.transaction_hash, authorization)
        assert before.state == "not_found"
        assert await bench.balance(PAYEE) == 0
        await bench.chain.broadcast(prepared)
        settled = await outcome(bench.chain, prepared.transaction_hash, authorization)
        assert (settled.state, settled.transaction_hash) == ("confirmed", prepared.transaction_hash)
        assert settled.block_number is not None
        assert await bench.balance(PAYEE) == 10_000
        assert await bench.balance(PAYER) == 15_000

    async def test_sending_again_is_harmless(self, bench: ChainBench) -> None:
        """The same bytes sent three times move the money once."""
        await bench.fund(PAYER, 30_000)
        authorization = bench.authorization(1)
        prepared, _ = await settle(bench.chain, authorization, sign(authorization))
        for _ in range(2):
            await bench.chain.broadcast(prepared)
        assert (await outcome(bench.chain, prepared.transaction_hash, authorization)).state == "confirmed"
        assert await bench.balance(PAYEE) == 10_000

    async def test_second_transaction_of_a_payment_names_the_first(self, bench: ChainBench) -> None:
        """Another transaction for the same authorization moves nothing, and asking for it names the one that did."""
        await bench.fund(PAYER, 30_000)
        authorization = bench.authorization(1)
        first = await bench.chain.prepare(authorization, sign(authorization))
        second = await bench.chain.prepare(authorization, sign(authorization))
        assert first.transaction_hash != second.transaction_hash
        for prepared in (first, second):
            await bench.chain.broadcast(prepared)
            settled = await outcome(bench.chain, prepared.transaction_hash, authorization)
            assert (settled.state, settled.transaction_hash) == ("confirmed", first.transaction_hash)
        assert await bench.balance(PAYEE) == 10_000

    async def test_abandoned_transaction_blocks_nobody(self, bench: ChainBench) -> None:
        """What was prepared and given back leaves no gap behind: the next payments settle."""
        await bench.fund(PAYER, 30_000)
        unsent = bench.authorization(1)
        await bench.chain.abandon(await bench.chain.prepare(unsent, sign(unsent)))
        for number in (2, 3):
            authorization = bench.authorization(number)
            _, settled = await settle(bench.chain, authorization, sign(authorization))
            assert settled.state == "confirmed"
        assert await bench.balance(PAYEE) == 20_000

    async def test_abandoned_before_others_leave_no_gap(self, bench: ChainBench) -> None:
        """One given back while later ones are out already holds none of them up."""
        await bench.fund(PAYER, 30_000)
        authorizations = [bench.authorization(number) for number in (1, 2, 3)]
        prepared = [await bench.chain.prepare(each, sign(each)) for each in authorizations]
        for each in prepared[1:]:
            await bench.chain.broadcast(each)
        await bench.chain.abandon(prepared[0])
        for each, authorization in zip(prepared[1:], authorizations[1:], strict=True):
            assert (await outcome(bench.chain, each.transaction_hash, authorization)).state == "confirmed"
        assert await bench.balance(PAYEE) == 20_000

    async def test_twelve_at_once_all_land(self, bench: ChainBench) -> None:
        """Twelve different payments settled at the same time all move their money (x402.md §12 row 6)."""
        await bench.fund(PAYER, 120_000)
        authorizations = [bench.authorization(number) for number in range(1, 13)]
        results = await asyncio.gather(*(settle(bench.chain, each, sign(each)) for each in authorizations))
        assert [settled.state for _, settled in results] == ["confirmed"] * 12
        assert len({settled.transaction_hash for _, settled in results}) == 12
        assert await bench.balance(PAYEE) == 120_000
        assert await bench.balance(PAYER) == 0

    async def test_used_nonce_is_refused(self, bench: ChainBench) -> None:
        """A payment that was settled does not pass the check again."""
        await bench.fund(PAYER, 30_000)
        authorization = bench.authorization(1)
        await settle(bench.chain, authorization, sign(authorization))
        assert _code(await bench.chain.check(authorization, sign(authorization))) == codes.NONCE_ALREADY_USED

    async def test_empty_wallet_is_refused(self, bench: ChainBench) -> None:
        """One unit too little is too little."""
        await bench.fund(PAYER, 9_999)
        authorization = bench.authorization(1)
        assert _code(await bench.chain.check(authorization, sign(authorization))) == codes.INSUFFICIENT_BALANCE

    async def test_other_signer_is_refused(self, bench: ChainBench) -> None:
        """Somebody else's signature moves nobody's money."""
        await bench.fund(PAYER, 10_000)
        authorization = bench.authorization(1)
        forged = sign(authorization, STRANGER_KEY)
        assert _code(await bench.chain.check(authorization, forged)) == codes.INVALID_SIGNATURE

    @pytest.mark.parametrize("field", ["value", "payee", "nonce", "window"])
    async def test_changed_field_is_refused(self, bench: ChainBench, field: str) -> None:
        """A signature holds for what was signed and nothing else."""
        await bench.fund(PAYER, 20_000)
        signed = bench.authorization(1)
        changed = {
            "value": signed._replace(value_atomic=20_000),
            "payee": signed._replace(to_address="0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65"),
            "nonce": signed._replace(nonce=bytes(31) + b"\x63"),
            "window": signed._replace(valid_before_s=signed.valid_before_s + 1),
        }[field]
        assert _code(await bench.chain.check(changed, sign(signed))) == codes.INVALID_SIGNATURE

    async def test_high_s_is_refused(self, bench: ChainBench) -> None:
        """The malleable twin of a good signature is refused (EIP-2)."""
        await bench.fund(PAYER, 10_000)
        authorization = bench.authorization(1)
        twin = with_high_s(sign(authorization))
        assert _code(await bench.chain.check(authorization, twin)) == codes.INVALID_SIGNATURE

    async def test_signature_of_another_length_is_refused(self, bench: ChainBench) -> None:
        """64 bytes, or none, are no signature."""
        authorization = bench.authorization(1)
        for malformed in (b"", sign(authorization)[:64]):
            assert _code(await bench.chain.check(authorization, malformed)) == codes.INVALID_SIGNATURE

    async def test_signature_of_another_domain_is_refused(self, bench: ChainBench) -> None:
        """A signature for another token version, name or chain is worth nothing here."""
        await bench.fund(PAYER, 10_000)
        authorization = bench.authorization(1)
        for other in (
            authorization._replace(token_name="Other Coin"),
            authorization._replace(token_version="9"),
            authorization._replace(network="eip155:10"),
        ):
            assert _code(await bench.chain.check(authorization, sign(other))) == codes.INVALID_SIGNATURE

    async def test_other_network_is_refused(self, bench: ChainBench) -> None:
        """An authorization for another network is not even looked at."""
        elsewhere = bench.authorization(1)._replace(network="eip155:10")
        assert _code(await bench.chain.check(elsewhere, sign(elsewhere))) == codes.NETWORK_MISMATCH

    async def test_window_is_kept(self, bench: ChainBench) -> None:
        """Too early and too late are refused, each with its own code."""
        await bench.fund(PAYER, 10_000)
        now_s = bench.now_s()
        early = bench.authorization(1)._replace(valid_after_s=now_s + 600)
        late = bench.authorization(2)._replace(valid_after_s=0, valid_before_s=now_s - 600)
        assert _code(await bench.chain.check(early, sign(early))) == codes.VALID_AFTER
        assert _code(await bench.chain.check(late, sign(late))) == codes.VALID_BEFORE

    async def test_address_case_does_not_matter(self, bench: ChainBench) -> None:
        """Addresses in lower case mean the same accounts (x402.md §12 row 11)."""
        await bench.fund(PAYER.lower(), 10_000)
        authorization = bench.authorization(1)._replace(
            from_address=PAYER.lower(), to_address=PAYEE.lower(), asset=bench.asset.lower()
        )
        assert await bench.chain.check(authorization, sign(authorization)) is None
        _, settled = await settle(bench.chain, authorization, sign(authorization))
        assert settled.state == "confirmed"
        assert await bench.balance(PAYEE) == 10_000

    async def test_money_that_went_meanwhile_reverts(self, bench: ChainBench) -> None:
        """Two payments that one balance covers once: both pass the check, one settles, the other reverts, none is lost."""
        await bench.fund(PAYER, 10_000)
        first, second = bench.authorization(1), bench.authorization(2)
        for each in (first, second):
            assert await bench.chain.check(each, sign(each)) is None
        states = []
        for each in (first, second):
            _, settled = await settle(bench.chain, each, sign(each))
            states.append(settled.state)
        assert states == ["confirmed", "reverted"]
        assert await bench.balance(PAYEE) == 10_000

    async def test_restart_finds_the_settlement(self, bench: ChainBench) -> None:
        """Another instance answers for a transaction it never saw, by its hash and by the authorization alone."""
        await bench.fund(PAYER, 10_000)
        authorization = bench.authorization(1)
        prepared, _ = await settle(bench.chain, authorization, sign(authorization))
        reopened = bench.reopen()
        by_hash = await outcome(reopened, prepared.transaction_hash, authorization)
        lost = ("local:" if prepared.transaction_hash.startswith("local:") else "0x") + "77" * 32
        by_logs = await outcome(reopened, lost, authorization)
        for found in (by_hash, by_logs):
            assert (found.state, found.transaction_hash) == ("confirmed", prepared.transaction_hash)

    async def test_unsent_transaction_is_not_found(self, bench: ChainBench) -> None:
        """A hash that nobody sent is not found, as long as the authorization is unused."""
        authorization = bench.authorization(1)
        prepared = await bench.chain.prepare(authorization, sign(authorization))
        settled = await bench.reopen().settlement(prepared.transaction_hash, authorization)
        assert settled.state == "not_found"
        await bench.chain.abandon(prepared)

    # ---- Permit2

    async def test_permit_settles_the_exact_amount(self, bench: ChainBench) -> None:
        """A Permit2 payment passes the check, moves exactly the signed amount, and its nonce is spent for ever."""
        await _fund_and_allow(bench, 25_000)
        permit = bench.permit(1)
        assert await bench.chain.check(permit, sign(permit)) is None
        prepared, settled = await settle(bench.chain, permit, sign(permit))
        assert (settled.state, settled.transaction_hash) == ("confirmed", prepared.transaction_hash)
        assert (await bench.balance(PAYER), await bench.balance(PAYEE)) == (15_000, 10_000)
        assert _code(await bench.chain.check(permit, sign(permit))) == codes.NONCE_ALREADY_USED

    @pytest.mark.parametrize("charged", [1, 4_200, 10_000])
    async def test_upto_moves_what_is_charged(self, bench: ChainBench, charged: int) -> None:
        """Of a signed maximum exactly the charge moves; the rest can never be taken with the same permit."""
        await _fund_and_allow(bench, 10_000)
        permit = bench.permit(1, upto=True)
        assert await bench.chain.check(permit, sign(permit)) is None
        assert await bench.chain.check(permit, sign(permit), value_atomic=charged) is None
        prepared, settled = await settle(bench.chain, permit, sign(permit), value_atomic=charged)
        assert (settled.state, settled.transaction_hash) == ("confirmed", prepared.transaction_hash)
        assert (await bench.balance(PAYER), await bench.balance(PAYEE)) == (10_000 - charged, charged)
        _, again = await settle(bench.chain, permit, sign(permit), value_atomic=10_001 - charged)
        assert again.state == "reverted" or again.transaction_hash == prepared.transaction_hash
        assert await bench.balance(PAYEE) == charged

    async def test_upto_stays_below_its_maximum(self, bench: ChainBench) -> None:
        """A charge above the maximum is refused, and so is one that an exact payment did not sign."""
        await _fund_and_allow(bench, 30_000)
        for permit in (bench.permit(1, upto=True), bench.permit(2)):
            if permit.facilitator is not None:
                refusal = await bench.chain.check(permit, sign(permit), value_atomic=10_001)
                assert _code(refusal) == codes.UPTO_AMOUNT_EXCEEDS_PERMITTED
        assert await bench.balance(PAYEE) == 0

    async def test_upto_of_another_facilitator_is_refused(self, bench: ChainBench) -> None:
        """A maximum that was signed for somebody else to charge is worth nothing here."""
        await _fund_and_allow(bench, 10_000)
        permit = bench.permit(1, upto=True)._replace(facilitator=PAYEE)
        assert _code(await bench.chain.check(permit, sign(permit))) == codes.UPTO_UNAUTHORIZED_FACILITATOR

    async def test_second_transaction_of_a_permit_names_the_first(self, bench: ChainBench) -> None:
        """Another transaction for the same permit moves nothing, and asking for it names the one that did."""
        await _fund_and_allow(bench, 30_000)
        permit = bench.permit(1)
        first = await bench.chain.prepare(permit, sign(permit))
        second = await bench.chain.prepare(permit, sign(permit))
        for prepared in (first, second):
            await bench.chain.broadcast(prepared)
            settled = await outcome(bench.chain, prepared.transaction_hash, permit)
            assert (settled.state, settled.transaction_hash) == ("confirmed", first.transaction_hash)
        assert await bench.balance(PAYEE) == 10_000

    @pytest.mark.parametrize("upto", [False, True])
    async def test_forged_and_changed_permits_are_refused(self, bench: ChainBench, upto: bool) -> None:
        """A stranger's signature, the malleated twin, and any changed field are refused as a bad signature."""
        await _fund_and_allow(bench, 20_000)
        signed = bench.permit(1, upto=upto)
        for permit, signature in (
            (signed, sign(signed, STRANGER_KEY)),
            (signed, with_high_s(sign(signed))),
            (signed._replace(value_atomic=20_000), sign(signed)),
            (signed._replace(to_address="0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65"), sign(signed)),
            (signed._replace(nonce=99), sign(signed)),
            (signed._replace(deadline_s=signed.deadline_s + 1), sign(signed)),
        ):
            assert _code(await bench.chain.check(permit, signature)) == codes.PERMIT2_INVALID_SIGNATURE

    async def test_permit_window_and_funds_are_kept(self, bench: ChainBench) -> None:
        """Too early, too late and too poor are refused, each with its own code."""
        await _fund_and_allow(bench, 9_999)
        now_s = bench.now_s()
        early = bench.permit(1)._replace(valid_after_s=now_s + 600)
        late = bench.permit(2)._replace(deadline_s=now_s - 600)
        poor, poor_upto = bench.permit(3), bench.permit(4, upto=True)
        for permit, code in (
            (early, codes.PERMIT2_NOT_YET_VALID),
            (late, codes.PERMIT2_DEADLINE_EXPIRED),
            (poor, codes.INSUFFICIENT_BALANCE),
            (poor_upto, codes.PERMIT2_INSUFFICIENT_BALANCE),
        ):
            assert _code(await bench.chain.check(permit, sign(permit))) == code

    async def test_restart_finds_a_permits_settlement(self, bench: ChainBench) -> None:
        """Another instance finds what became of a permit by the permit alone, of an `upto` payment with its charge."""
        await _fund_and_allow(bench, 20_000)
        for permit, charged in ((bench.permit(1), None), (bench.permit(2, upto=True), 7_000)):
            prepared, _ = await settle(bench.chain, permit, sign(permit), value_atomic=charged)
            lost = ("local:" if prepared.transaction_hash.startswith("local:") else "0x") + "77" * 32
            found = await outcome(bench.reopen(), lost, permit, value_atomic=charged)
            assert (found.state, found.transaction_hash) == ("confirmed", prepared.transaction_hash)


async def _fund_and_allow(bench: ChainBench, amount_atomic: int) -> None:
    await bench.fund(PAYER, amount_atomic)
    await bench.allow(PAYER)


def _code(refusal: Refusal | None) -> str | None:
    return None if refusal is None else refusal.code


__all__ = ["PAYEE", "PAYER", "STRANGER_KEY", "ChainBench", "ChainSuite", "outcome", "settle", "sign", "with_high_s"]
