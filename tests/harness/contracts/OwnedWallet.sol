// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

/// A wallet with code, for tests only: it accepts what its owner signed (ERC-1271), and anybody may set the owner.
contract OwnedWallet {
    address public owner;

    function setOwner(address newOwner) external {
        owner = newOwner;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        if (signature.length != 65) return 0xffffffff;
        address signer = ecrecover(digest, uint8(signature[64]), bytes32(signature[0:32]), bytes32(signature[32:64]));
        return signer != address(0) && signer == owner ? this.isValidSignature.selector : bytes4(0xffffffff);
    }
}
