"""`wallet.enc`: a wallet of this process beside an identity key that another backend holds (anima.md §13.3, L4-D5).

A TPM, Vault and a browser have no secp256k1, so the wallet may follow from a seed in the identity folder, in the same container
and under the same kind of secret as `seed.enc`. Only its wallet half is ever used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from life.aios.ports.clock import Clock, Entropy
from life.anima.custody.in_process import InProcessAnima
from life.anima.custody.wallet_rules import CustodyObserver, WalletRules
from life.anima.errors import KeyNotFoundError
from life.anima.home import disk_errors, wiped_seeds
from life.anima.key_source import KeySource
from life.anima.private_files import FolderLock, make_private_folder
from life.anima.seed_file import SEED_BYTES, Seeds, open_seeds, read_seed_file, seal_seeds, write_seed_file
from life.crypto.wiping import wipe, wiped

WALLET_FILE: Final = "wallet.enc"


def ensure_wallet_seed(folder: Path, key_source: KeySource, *, entropy: Entropy) -> None:
    """Make a wallet unless there is one. Errors of the key source; blocks for the key derivation."""
    with disk_errors(folder):
        make_private_folder(folder)
        with FolderLock(folder):
            if read_seed_file(folder / WALLET_FILE) is None:
                with wiped(bytearray(entropy.token_bytes(SEED_BYTES))) as seed:
                    seeds = Seeds(seed, seed)
                with wiped_seeds(seeds):
                    _write(folder, seeds, key_source, entropy)


def take_wallet_of(folder: Path, seed_path: Path, key_source: KeySource, *, entropy: Entropy) -> None:
    """Keep the wallet half of a seed file as `wallet.enc`; nothing when that is there. KeyNotFoundError without seed."""
    with disk_errors(folder), FolderLock(folder):
        if read_seed_file(folder / WALLET_FILE) is not None:
            return
        container = read_seed_file(seed_path)
        if container is None:
            raise KeyNotFoundError(f"The seed file {seed_path} is missing; there is no wallet to keep.")
        with wiped_seeds(_opened(container, key_source)) as old:
            seeds = Seeds(old.wallet_seed.view, old.wallet_seed.view)
        with wiped_seeds(seeds):
            _write(folder, seeds, key_source, entropy)


def open_wallet_seed(
    folder: Path, key_source: KeySource, *, clock: Clock, rules: WalletRules, observer: CustodyObserver | None
) -> InProcessAnima:
    """A handle of the wallet. Its identity half means nothing. KeyNotFoundError without `wallet.enc`."""
    with disk_errors(folder):
        container = read_seed_file(folder / WALLET_FILE)
    if container is None:
        raise KeyNotFoundError(
            f"The wallet file {folder / WALLET_FILE} is missing.", next_step="Restore it from a backup."
        )
    with wiped_seeds(_opened(container, key_source)) as seeds:
        return InProcessAnima.from_seeds(
            seeds.auth_seed.view, seeds.wallet_seed.view, clock=clock, rules=rules, observer=observer
        )


def _opened(container: bytes, key_source: KeySource) -> Seeds:
    secret = key_source.unlock()
    try:
        return open_seeds(container, secret)
    finally:
        wipe(secret.buffer)


def _write(folder: Path, seeds: Seeds, key_source: KeySource, entropy: Entropy) -> None:
    secret = key_source.provision(entropy)
    try:
        write_seed_file(folder / WALLET_FILE, seal_seeds(seeds, secret, entropy=entropy))
    finally:
        wipe(secret.buffer)
