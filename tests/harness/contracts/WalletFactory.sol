// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {OwnedWallet} from "OwnedWallet.sol";

/// Deploys an OwnedWallet at an address that is known before (CREATE2), for tests of ERC-6492 only.
contract WalletFactory {
    function create(address owner, bytes32 salt) external returns (address wallet) {
        bytes32 bound = keccak256(abi.encode(owner, salt));
        wallet = addressOf(owner, salt);
        if (wallet.code.length > 0) return wallet;
        OwnedWallet made = new OwnedWallet{salt: bound}();
        made.setOwner(owner);
    }

    function addressOf(address owner, bytes32 salt) public view returns (address) {
        bytes32 bound = keccak256(abi.encode(owner, salt));
        bytes32 code = keccak256(type(OwnedWallet).creationCode);
        return address(uint160(uint256(keccak256(abi.encodePacked(hex"ff", address(this), bound, code)))));
    }
}
