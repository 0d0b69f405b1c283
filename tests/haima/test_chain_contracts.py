"""Payers that are contracts, allowances that come along, replacements and blocks that are taken back: on a real node."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from life.aios.ports.chain import PublicChain, SignedPermit
from life.aios.ports.custody import PaymentAuthorization, TokenPermit, TransferAuthorization
from life.crypto.contract_signature import WrappedSignature, wrap
from life.crypto.permit2 import PERMIT2, token_permit_digest
from life.crypto.secp256k1 import sign_recoverable
from life.crypto.transaction import decode_signed
from life.haima.errors import ChainRefusedError
from life.haima.x402 import codes
from life.haima.x402.authorization import domain_separator
from life.testing.chain import PAYEE, PAYER, STRANGER_KEY, ChainBench, outcome, settle, sign
from tests.haima.gas_custody import DevelopmentGasAccount
from tests.haima.test_chain_evm import EvmBenches
from tests.harness.anvil import ACCOUNTS, MINTER, Anvil
from tests.harness.rpc_counter import RpcCounter
from tests.harness.solidity import compile_contracts

pytestmark = pytest.mark.part("anvil", "solc")

OWNER = ACCOUNTS[2]
"""Owns the contract wallets; its key is STRANGER_KEY."""


@pytest.fixture
async def benches(chain: Anvil) -> AsyncIterator[EvmBenches]:
    made = EvmBenches(chain)
    yield made
    await made.aclose()


def deploy_wallet(anvil: Anvil, owner: str = OWNER.address) -> str:
    """A contract wallet of an owner, with money and an allowance for Permit2."""
    contract = compile_contracts()["OwnedWallet"]
    address = anvil.deploy(contract)
    anvil.send_as(MINTER.address, to=address, data=contract.call_data("setOwner(address)", owner))
    anvil.mint(address, 50_000)
    anvil.rpc.call("anvil_setBalance", address, hex(10**18))
    anvil.approve_permit2(address)
    return address


def payments(bench: ChainBench, payer: str) -> list[PaymentAuthorization]:
    """One of each kind, by this payer."""
    return [
        bench.authorization(1)._replace(from_address=payer),
        bench.permit(2)._replace(from_address=payer),
        bench.permit(3, upto=True)._replace(from_address=payer),
    ]


# ---- ERC-1271


async def test_contract_wallets_pay_by_every_scheme(benches: EvmBenches) -> None:
    """What the wallet's owner signed settles by EIP-3009, Permit2 and upto; a stranger's signature does not (ERC-1271)."""
    bench = benches.bench()
    wallet = deploy_wallet(benches.anvil)
    for payment in payments(bench, wallet):
        forged = await bench.chain.check(payment, sign(payment))
        assert forged is not None
        assert forged.code in (codes.INVALID_SIGNATURE, codes.PERMIT2_INVALID_SIGNATURE)
        assert await bench.chain.check(payment, sign(payment, STRANGER_KEY)) is None
        _, settled = await settle(bench.chain, payment, sign(payment, STRANGER_KEY))
        assert settled.state == "confirmed"
    assert await bench.balance(PAYEE) == 30_000


async def test_a_plain_account_has_no_contract_signature(benches: EvmBenches, counted_chain: RpcCounter) -> None:
    """Bytes of any length that no key of the payer made are refused without a dry run; whether the payer has code is asked
    once, however often somebody tries."""
    chain = benches.open(counted_chain.url)
    bench = benches.bench(chain)
    await bench.fund(PAYER, 50_000)
    await chain.open()
    counted_chain.reset()
    for junk in (b"\1", b"\1" * 64, b"\1" * 65, b"\1" * 500, sign(bench.authorization(1), STRANGER_KEY)):
        refusal = await chain.check(bench.authorization(1), junk)
        assert refusal is not None and refusal.code == codes.INVALID_SIGNATURE
    assert counted_chain.counts == {"eth_getCode": 1}


async def test_a_wallet_that_burns_gas_is_refused(benches: EvmBenches) -> None:
    """A payer that is a contract can't make us pay for more gas than a settlement may take."""
    bench = benches.bench()
    wallet = ACCOUNTS[8].address
    # Counts down from 65,535 (26 gas each time), then answers isValidSignature's magic value.
    burner = "6200ffff" + "5b60019003" + "80600457" + "50" + "631626ba7e60e01b" + "60005260206000f3"
    benches.anvil.set_code(wallet, "0x" + burner)
    await bench.fund(wallet, 50_000)
    authorization = bench.authorization(1)._replace(from_address=wallet)
    refusal = await bench.chain.check(authorization, b"\1" * 65)
    assert refusal is not None and "gas" in refusal.message


# ---- ERC-6492


class Undeployed:
    """A wallet that has an address and money and no code yet."""

    def __init__(self, anvil: Anvil) -> None:
        contract = compile_contracts()["WalletFactory"]
        self.factory = anvil.deploy(contract)
        self.creation = contract.call_data("create(address,bytes32)", OWNER.address, bytes(32))
        answer = anvil.rpc.text(
            "eth_call",
            {"to": self.factory, "data": contract.call_data("addressOf(address,bytes32)", OWNER.address, bytes(32))},
            "latest",
        )
        self.address = "0x" + answer[-40:]
        anvil.mint(self.address, 50_000)

    def wrapped(self, payment: PaymentAuthorization) -> bytes:
        """The owner's signature with the call that deploys the wallet."""
        creation = bytes.fromhex(self.creation.removeprefix("0x"))
        return wrap(WrappedSignature(bytes.fromhex(self.factory[2:]), creation, sign(payment, STRANGER_KEY)))


async def test_undeployed_wallets_are_deployed_by_allowed_factories_only(benches: EvmBenches) -> None:
    """An undeployed wallet's payment is refused unless its factory is on the list; then one transaction deploys the wallet
    and moves the money, and the next payment, wrapped or not, needs no deployment (ERC-6492)."""
    wallet = Undeployed(benches.anvil)
    bench = benches.bench()
    first, second = (bench.authorization(n)._replace(from_address=wallet.address) for n in (1, 2))
    refusal = await bench.chain.check(first, wallet.wrapped(first))
    assert refusal is not None and refusal.code == codes.FACTORY_NOT_ALLOWED
    with pytest.raises(ChainRefusedError):
        await bench.chain.prepare(first, wallet.wrapped(first))
    allowing = benches.open(wallet_factories=(wallet.factory.lower(),))
    assert await allowing.check(first, wallet.wrapped(first)) is None
    _, settled = await settle(allowing, first, wallet.wrapped(first))
    assert settled.state == "confirmed"
    assert len(str(benches.anvil.rpc.call("eth_getCode", wallet.address, "latest"))) > 2
    for payment, signature in ((second, wallet.wrapped(second)),):
        assert await bench.chain.check(payment, signature) is None
        assert (await settle(bench.chain, payment, signature))[1].state == "confirmed"
    assert await bench.balance(PAYEE) == 20_000


async def test_undeployed_wallets_are_checked_before_gas_is_spent(benches: EvmBenches) -> None:
    """Another owner's signature, too little money, a malformed wrapper, and upto, whose proxy wants to be called by us."""
    wallet = Undeployed(benches.anvil)
    bench = benches.bench(benches.open(wallet_factories=(wallet.factory,)))
    payment = bench.authorization(1)._replace(from_address=wallet.address)
    poor = payment._replace(value_atomic=50_001)
    upto = bench.permit(2, upto=True)._replace(from_address=wallet.address)
    creation = bytes.fromhex(wallet.creation.removeprefix("0x"))
    forged = wrap(WrappedSignature(bytes.fromhex(wallet.factory[2:]), creation, sign(payment)))
    for authorization, signature, code in (
        (payment, forged, codes.SIMULATION_FAILED),
        (poor, wallet.wrapped(poor), codes.INSUFFICIENT_BALANCE),
        (upto, wallet.wrapped(upto), codes.UNDEPLOYED_SMART_WALLET),
        (payment, b"\1" * 3 + bytes.fromhex("6492" * 16), codes.INVALID_SIGNATURE),
    ):
        refusal = await bench.chain.check(authorization, signature)
        assert refusal is not None and refusal.code == code


# ---- allowances


def signed_permit(bench: ChainBench, *, value_atomic: int = 10_000, key: bytes | None = None) -> SignedPermit:
    permit = TokenPermit(
        bench.chain.network, bench.asset, "USDC", "2", PAYER, PERMIT2, value_atomic, 0, bench.now_s() + 3600
    )
    digest = token_permit_digest(
        domain_separator(permit.network, permit.asset, "USDC", "2"),
        owner=bytes.fromhex(PAYER[2:]),
        spender=bytes.fromhex(PERMIT2[2:]),
        value=value_atomic,
        nonce=0,
        deadline=permit.deadline_s,
    )
    secret = bytes.fromhex(ACCOUNTS[1].key[2:]) if key is None else key
    return SignedPermit(permit, sign_recoverable(digest, bytearray(secret)))


@pytest.mark.parametrize("upto", [False, True])
async def test_an_allowance_that_comes_along_is_used_once(benches: EvmBenches, upto: bool) -> None:
    """Without an allowance the payment is refused with the code that says so; with an EIP-2612 permit beside it, one
    transaction allows and moves. Where the allowance is there already, the permit is not sent."""
    bench = benches.bench()
    await bench.fund(PAYER, 50_000)
    payment = bench.permit(1, upto=upto)
    refusal = await bench.chain.check(payment, sign(payment))
    assert refusal is not None and refusal.code == codes.PERMIT2_ALLOWANCE_REQUIRED
    permit = signed_permit(bench)
    forged = signed_permit(bench, key=STRANGER_KEY)
    refusal = await bench.chain.check(payment, sign(payment), permit=forged)
    assert refusal is not None and refusal.code == codes.PERMIT2_ALLOWANCE_REQUIRED
    assert await bench.chain.check(payment, sign(payment), permit=permit) is None
    prepared = await bench.chain.prepare(payment, sign(payment), permit=permit)
    await bench.chain.broadcast(prepared)
    assert (await outcome(bench.chain, prepared.transaction_hash, payment)).state == "confirmed"
    assert (benches.anvil.permit_count(PAYER), await bench.balance(PAYEE)) == (1, 10_000)
    benches.anvil.approve_permit2(PAYER)
    second = bench.permit(2, upto=upto)
    prepared = await bench.chain.prepare(second, sign(second), permit=permit)
    await bench.chain.broadcast(prepared)
    assert (await outcome(bench.chain, prepared.transaction_hash, second)).state == "confirmed"
    assert benches.anvil.permit_count(PAYER) == 1


async def test_an_invalidated_permit_is_a_failure(benches: EvmBenches) -> None:
    """A nonce that the payer burnt before the transaction was mined moved no money, and is told from one that was used."""
    bench = benches.bench()
    await bench.fund(PAYER, 50_000)
    await bench.allow(PAYER)
    payment = bench.permit(1)
    prepared = await bench.chain.prepare(payment, sign(payment))
    contract = compile_contracts()["WitnessPermit2"]
    burn = contract.call_data(
        "invalidateUnorderedNonces(uint256,uint256)", payment.nonce >> 8, 1 << (payment.nonce & 255)
    )
    benches.anvil.send_as(PAYER, to=PERMIT2, data=burn)
    await bench.chain.broadcast(prepared)
    settled = await outcome(bench.chain, prepared.transaction_hash, payment)
    assert (settled.state, settled.reason) == ("reverted", codes.NONCE_ALREADY_USED)
    assert await bench.balance(PAYEE) == 0


# ---- replacements, depth, and blocks that are taken back


async def test_a_replacement_outbids_the_first(benches: EvmBenches) -> None:
    """Same nonce, call and gas limit, both fees at least a tenth higher: the node takes it in place of the first, exactly
    one is executed, and asking for either finds the money."""
    bench = benches.bench()
    chain = bench.chain
    assert isinstance(chain, PublicChain)
    await bench.fund(PAYER, 50_000)
    authorization = bench.authorization(1)
    benches.anvil.set_automine(False)
    first = await chain.prepare(authorization, sign(authorization))
    await chain.broadcast(first)
    second = await chain.reprice(first)
    before, after = decode_signed(first.raw).transaction, decode_signed(second.raw).transaction
    assert (after.nonce, after.data, after.gas_limit, after.to) == (
        before.nonce,
        before.data,
        before.gas_limit,
        before.to,
    )
    assert after.max_fee_per_gas_wei * 10 >= before.max_fee_per_gas_wei * 11
    assert after.max_priority_fee_per_gas_wei * 10 >= before.max_priority_fee_per_gas_wei * 11
    await chain.broadcast(second)
    assert benches.anvil.pending_transactions() == [second.transaction_hash]
    benches.anvil.mine()
    for prepared in (second, first):
        settled = await outcome(bench.reopen(), prepared.transaction_hash, authorization)
        assert (settled.state, settled.transaction_hash) == ("confirmed", second.transaction_hash)
    assert await bench.balance(PAYEE) == 10_000


async def test_replacements_keep_the_fee_limit_and_the_account(benches: EvmBenches) -> None:
    """Above the limit there is no replacement; nor is there one for bytes that are not our transaction."""
    limit = 3_000_000_000
    chain = benches.open(max_fee_per_gas_wei=limit)
    bench = benches.bench(chain)
    await bench.fund(PAYER, 50_000)
    authorization = bench.authorization(1)
    prepared = await chain.prepare(authorization, sign(authorization))
    with pytest.raises(ChainRefusedError):
        for _ in range(20):
            prepared = await chain.reprice(prepared)
            assert decode_signed(prepared.raw).transaction.max_fee_per_gas_wei <= limit
    stranger = benches.open(gas_account=DevelopmentGasAccount(ACCOUNTS[5].key))
    for bad in (prepared, prepared._replace(raw=b"\x02nothing")):
        with pytest.raises(ChainRefusedError):
            await stranger.reprice(bad)


async def test_confirmations_are_waited_for(benches: EvmBenches) -> None:
    """With three confirmations a settlement is pending until two blocks stand on top of its own."""
    chain = benches.open(confirmations=3)
    bench = benches.bench(chain)
    await bench.fund(PAYER, 50_000)
    authorization = bench.authorization(1)
    prepared = await chain.prepare(authorization, sign(authorization))
    await chain.broadcast(prepared)
    benches.anvil.wait_for_receipt(prepared.transaction_hash)
    benches.anvil.mine()
    assert (await chain.settlement(prepared.transaction_hash, authorization)).state == "pending"
    benches.anvil.mine()
    assert (await outcome(chain, prepared.transaction_hash, authorization)).state == "confirmed"


async def test_a_block_that_is_taken_back_is_noticed(benches: EvmBenches, counted_chain: RpcCounter) -> None:
    """A confirmed settlement is recent, then gone when its block is replaced by another of the same height; the same bytes
    sent again settle it. Buried deep enough, it is final. The question costs two calls at most."""
    chain = benches.open(counted_chain.url)
    bench = benches.bench(chain)
    await bench.fund(PAYER, 50_000)
    authorization = bench.authorization(1)
    prepared, settled = await settle(chain, authorization, sign(authorization))
    counted_chain.reset()
    assert await chain.standing(settled) == "recent"
    assert counted_chain.total <= 2
    benches.anvil.reorganise(1)
    other = benches.open()
    assert await other.standing(settled) == "gone"
    assert await bench.balance(PAYEE) == 0
    assert (await other.settlement(prepared.transaction_hash, authorization)).state == "not_found"
    await other.broadcast(prepared)
    again = await outcome(other, prepared.transaction_hash, authorization)
    assert (again.state, again.transaction_hash) == ("confirmed", prepared.transaction_hash)
    assert again.block_hash != settled.block_hash
    benches.anvil.mine(12)
    assert await benches.open().standing(again) == "final"


async def test_nonces_go_on_after_a_reorganisation(benches: EvmBenches) -> None:
    """A transaction that was taken back and can't be sent again leaves no gap: the account's nonce is asked anew."""
    chain = benches.open()
    bench = benches.bench(chain)
    await bench.fund(PAYER, 50_000)
    first = bench.authorization(1)
    prepared, _ = await settle(chain, first, sign(first))
    benches.anvil.reorganise(1)
    await chain.abandon(prepared)
    second = bench.authorization(2)
    following, settled = await settle(chain, second, sign(second))
    assert settled.state == "confirmed"
    assert following.account_nonce == prepared.account_nonce


async def test_the_gas_account_settles_what_was_asked(benches: EvmBenches) -> None:
    """Every transaction of a settlement goes to the token or the proxy, moves no coin of ours, and is bounded in gas."""
    bench = benches.bench()
    await bench.fund(PAYER, 50_000)
    await bench.allow(PAYER)
    everything: list[PaymentAuthorization] = [bench.authorization(1), bench.permit(2), bench.permit(3, upto=True)]
    for payment in everything:
        assert await bench.chain.check(payment, sign(payment)) is None
        prepared = await bench.chain.prepare(payment, sign(payment))
        fields = decode_signed(prepared.raw).transaction
        to = payment.asset if isinstance(payment, TransferAuthorization) else payment.spender
        assert fields.to == bytes.fromhex(to[2:])
        assert (fields.value_wei, fields.gas_limit < 1_300_000) == (0, True)
        await bench.chain.abandon(prepared)
