"""Compiled contracts: call data is exact, and a change of the source is never served from the cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import solidity
from tests.harness.solidity import Contract

CONTRACT = Contract("0x", "0x", {"f(address,uint256,bytes32)": "0x12345678"})


def test_call_data_is_words() -> None:
    """Addresses and numbers are padded on the left, 32 bytes stay as they are."""
    data = CONTRACT.call_data("f(address,uint256,bytes32)", "0x" + "ab" * 20, 258, b"\x11" * 32)
    assert data == "0x12345678" + "00" * 12 + "ab" * 20 + "00" * 30 + "0102" + "11" * 32


def test_wrong_words_are_refused() -> None:
    """A negative or too large number, short bytes and an unknown function are errors."""
    for argument, error in ((-1, OverflowError), (2**256, OverflowError), (b"\x11" * 31, ValueError)):
        with pytest.raises(error):
            CONTRACT.call_data("f(address,uint256,bytes32)", argument)
    with pytest.raises(KeyError):
        CONTRACT.call_data("g()")


@pytest.mark.part("solc")
def test_cache_follows_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler runs again when a source changed, and only then."""
    contracts, cache = tmp_path / "contracts", tmp_path / "cache"
    contracts.mkdir()
    (contracts / "compile.mjs").write_text((solidity.CONTRACTS / "compile.mjs").read_text())
    source = (
        "// SPDX-License-Identifier: MIT\npragma solidity ^0.8.20;\ncontract One { uint256 public constant one = 1; }"
    )
    (contracts / "One.sol").write_text(source)
    monkeypatch.setattr(solidity, "CONTRACTS", contracts)
    monkeypatch.setattr(solidity, "CACHE", cache)
    compile_now = solidity.compile_contracts.__wrapped__
    first = compile_now()
    assert list(first) == ["One"]
    assert first["One"].selectors == {"one()": "0x901717d1"}
    kept = {file: file.stat().st_mtime_ns for file in cache.iterdir()}
    assert compile_now() == first
    assert {file: file.stat().st_mtime_ns for file in cache.iterdir()} == kept
    (contracts / "One.sol").write_text(source.replace("one = 1", "one = 2"))
    assert compile_now()["One"].runtime != first["One"].runtime
    assert len(list(cache.iterdir())) == 2
