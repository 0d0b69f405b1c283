"""The identity folder: made once, whatever happens, and never opened when anything in it was changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from life.aios.errors import InvalidInputError, LifeError
from life.anima.custody.wallet_rules import WalletRules
from life.anima.errors import (
    AnimaError,
    CustodyAuthFailedError,
    CustodyProtocolError,
    CustodyUnavailableError,
    IdentityFileError,
    IdentityMismatchError,
    IdentityNotFoundError,
    InsecureFileError,
    KeyNotFoundError,
    SoulIntegrityViolationError,
    UnsupportedOperationError,
)
from life.anima.home import create_identity, open_identity, read_identity, seed_secret_kind
from life.anima.identity_file import Identity, decode_identity
from life.anima.key_source import KeyFile, KeySource, Passphrase
from life.anima.policy import EconomicLimits, PolicyManifest
from life.anima.seed_file import Seeds, open_seeds, seal_seeds
from life.anima.soul import compute_soul_hash, load_soul
from life.anima.tokens import issue_agent_token
from life.crypto import jws
from life.testing.clock import START_US, ManualClock, SeededEntropy
from tests.anima.material import new_identity, raw_key

MEMBERS = ["schema_version", "did", "wallet", "soul_hash", "custody", "soul", "seal"]


def create(
    folder: Path, *, key_source: KeySource | None = None, seed: str = "life", **options: Any
) -> tuple[Identity, bool]:
    """Make an identity with a fast key source and fixed entropy."""
    return create_identity(
        folder,
        key_source=key_source or raw_key(),
        clock=options.pop("clock", ManualClock()),
        entropy=SeededEntropy(seed),
        **options,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the identity goes."""
    return tmp_path / ".life" / "identity"


def test_a_new_identity(folder: Path) -> None:
    """Public and private half with their modes, names that follow from the keys, and a soul with the defaults."""
    identity, created = create(folder)
    assert created
    assert identity.did.startswith("did:key:zDn")
    assert identity.name == "life-agent-" + identity.wallet.address[-6:]
    assert identity.wallet.chain == "eip155:8453"
    assert identity.custody == "in_process"
    assert identity.agent_id.startswith("agent-")
    assert identity.seed_path == folder / "seed.enc"
    assert identity.soul.values == PolicyManifest()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert identity.seed_path.stat().st_mode & 0o777 == 0o600
    document = json.loads((folder / "soul.json").read_text())
    assert list(document) == MEMBERS
    assert document["schema_version"] == 1
    assert document["did"] == identity.did
    assert document["wallet"] == {"address": identity.wallet.address, "chain": "eip155:8453"}
    assert document["soul_hash"] == identity.soul_hash
    assert document["custody"] == {"kind": "in_process", "seed_file": "seed.enc"}
    assert load_soul(document["soul"]) == identity.soul


def test_choices_are_kept(folder: Path) -> None:
    """Name, mission, chain, values and the time of birth are what was asked for."""
    values = PolicyManifest(economic_limits=EconomicLimits(max_spend_per_tx_micro_credits=5))
    identity, _ = create(folder, name="Ada", mission="Count.", chain="eip155:84532", values=values)
    assert (identity.name, identity.soul.origin.mission, identity.wallet.chain) == ("Ada", "Count.", "eip155:84532")
    assert identity.soul.values == values
    assert identity.soul.origin.created_at == "2025-11-20T07:03:00.000000Z"


def test_repeating_returns_what_is_there(folder: Path) -> None:
    """A second call changes no byte, whatever it asks for, and needs no secret."""
    first, _ = create(folder)
    before = contents(folder)
    again, created = create(folder, name="Other", seed="other", key_source=raw_key(99))
    assert not created
    assert again == first
    assert contents(folder) == before


async def test_open_signs_for_the_identity(folder: Path) -> None:
    """The handle has the identity's DID and wallet, and its tokens verify as the identity's agent."""
    create(folder)
    clock = ManualClock()
    identity, custody = open_identity(folder, raw_key(), clock=clock)
    assert identity == read_identity(folder)
    assert custody.capabilities().did == identity.did
    assert custody.capabilities().wallet_address == identity.wallet.address
    token = await issue_agent_token(
        custody, agent_id=identity.agent_id, audience="lago", clock=clock, entropy=SeededEntropy()
    )
    assert jws.verify(token, typ="agent+jwt").claims["sub"] == identity.agent_id
    custody.close()


def test_open_passes_the_rules_on(folder: Path) -> None:
    """The handle obeys the rules it was opened with."""
    create(folder)
    _, custody = open_identity(folder, raw_key(), clock=ManualClock(), rules=WalletRules(require_reservation=True))
    assert "sign_transaction" not in custody.capabilities().operations


def test_passphrase_and_key_file(tmp_path: Path) -> None:
    """Both usual key sources make, reopen and are told apart without a secret."""
    by_phrase, by_file = tmp_path / "phrase", tmp_path / "file"
    key_file = KeyFile(tmp_path / "keys" / "identity.key")
    create(by_phrase, key_source=Passphrase("a long passphrase"))
    create(by_file, key_source=key_file)
    assert seed_secret_kind(read_identity(by_phrase)) == "passphrase"
    assert seed_secret_kind(read_identity(by_file)) == "raw_key"
    assert open_identity(by_phrase, Passphrase("a long passphrase"), clock=ManualClock())
    assert open_identity(by_file, key_file, clock=ManualClock())
    for place, source in ((by_phrase, Passphrase("a wrong passphrase")), (by_phrase, key_file), (by_file, raw_key())):
        with pytest.raises(CustodyAuthFailedError):
            open_identity(place, source, clock=ManualClock())


def test_nothing_there(folder: Path) -> None:
    """Without identity there is one error with the next step, and nothing is made by looking."""
    for look in (lambda: read_identity(folder), lambda: open_identity(folder, raw_key(), clock=ManualClock())):
        with pytest.raises(IdentityNotFoundError) as refusal:
            look()
        assert "arcan identity new" in str(refusal.value.next_step)
    assert not folder.exists()


@pytest.mark.parametrize("options", [{"name": ""}, {"name": "a\0b"}, {"mission": "x" * 5000}, {"chain": "base"}])
def test_bad_wishes_make_nothing(folder: Path, options: dict[str, Any]) -> None:
    """A name, mission or chain that can't be right leaves nothing at all; the next, better call succeeds."""
    with pytest.raises(InvalidInputError):
        create(folder, **options)
    assert not folder.exists()
    assert create(folder)[1]


# Changes to soul.json. Each must keep every daemon from starting.


def rename(document: dict[str, Any]) -> None:
    """Another name, hash left as it was."""
    document["soul"]["origin"]["name"] = "Eve"


def raise_limit_and_rehash(document: dict[str, Any]) -> None:
    """More money for the agent, with the hash computed again: only the seal can tell."""
    document["soul"]["values"]["economic_limits"]["max_spend_per_tx_micro_credits"] = 10**12
    rehash(document)


def raise_ceiling_and_rehash(document: dict[str, Any]) -> None:
    """Every capability for the agent, with the hash computed again."""
    document["soul"]["values"]["capability_ceiling"] = ["*"]
    rehash(document)


def rehash(document: dict[str, Any]) -> None:
    """What somebody with our source code would do."""
    import msgspec

    from life.anima.soul import Ancestor, Origin

    part = document["soul"]
    digest = compute_soul_hash(
        msgspec.convert(part["origin"], Origin),
        msgspec.convert(part["lineage"], tuple[Ancestor, ...]),
        msgspec.convert(part["values"], PolicyManifest),
        root_public_key=part["root_public_key"],
    )
    document["soul_hash"] = part["soul_hash"] = digest


def outer_hash(document: dict[str, Any]) -> None:
    """Another hash beside the soul."""
    document["soul_hash"] = "00" * 32


def other_did(document: dict[str, Any]) -> None:
    """Another DID beside the soul."""
    document["did"] = "did:key:zDnaeYpu2WigB5WSkeZKMR9Fiye5knQQCee467kQhccbruitW"


def other_wallet(document: dict[str, Any]) -> None:
    """Somebody else's wallet, so that money arrives there."""
    document["wallet"]["address"] = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


def other_chain(document: dict[str, Any]) -> None:
    """Another chain."""
    document["wallet"]["chain"] = "eip155:1"


def no_seal(document: dict[str, Any]) -> None:
    """The seal is missing."""
    del document["seal"]


def empty_seal(document: dict[str, Any]) -> None:
    """The seal is empty."""
    document["seal"] = ""


def broken_seal(document: dict[str, Any]) -> None:
    """The seal has another signature."""
    document["seal"] = document["seal"][:-8] + "AAAAAAAA"


def other_backend(document: dict[str, Any]) -> None:
    """Another backend is named."""
    document["custody"]["kind"] = "vault"


def seed_elsewhere(document: dict[str, Any]) -> None:
    """The seed file's name leaves the folder."""
    document["custody"]["seed_file"] = "../../seed.enc"


def newer_schema(document: dict[str, Any]) -> None:
    """A schema version that this version does not know."""
    document["schema_version"] = 2


def surplus(document: dict[str, Any]) -> None:
    """A member that nobody signed."""
    document["admin"] = True


CHANGES: list[tuple[Callable[[dict[str, Any]], None], type[AnimaError]]] = [
    (rename, SoulIntegrityViolationError),
    (raise_limit_and_rehash, IdentityFileError),
    (raise_ceiling_and_rehash, IdentityFileError),
    (outer_hash, IdentityMismatchError),
    (other_did, IdentityMismatchError),
    (other_wallet, IdentityFileError),
    (other_chain, IdentityFileError),
    (no_seal, IdentityFileError),
    (empty_seal, IdentityFileError),
    (broken_seal, IdentityFileError),
    (other_backend, IdentityFileError),
    (seed_elsewhere, IdentityFileError),
    (newer_schema, IdentityFileError),
    (surplus, IdentityFileError),
]


@pytest.mark.parametrize(("change", "error"), CHANGES, ids=[change.__name__ for change, _ in CHANGES])
def test_a_changed_soul_file_stops_everything(
    folder: Path, change: Callable[[dict[str, Any]], None], error: type[AnimaError]
) -> None:
    """Showing, opening and making again all refuse a soul.json that is not what its owner signed."""
    create(folder)
    path = folder / "soul.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    for use in (
        lambda: read_identity(folder),
        lambda: open_identity(folder, raw_key(), clock=ManualClock()),
        lambda: create(folder),
    ):
        with pytest.raises(error):
            use()
    assert json.loads(path.read_text()) == document


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"schema_version":1}', b"{}" * 2])
def test_an_unreadable_soul_file_stops_everything(folder: Path, content: bytes) -> None:
    """What is not our JSON is an error with a code, and is not replaced."""
    create(folder)
    (folder / "soul.json").write_bytes(content)
    for use in (lambda: read_identity(folder), lambda: create(folder)):
        with pytest.raises(IdentityFileError):
            use()
    assert (folder / "soul.json").read_bytes() == content


def test_layout_does_not_matter(folder: Path) -> None:
    """The seal covers what the file says, so an editor that only moves blanks breaks nothing."""
    identity, _ = create(folder)
    document = json.loads((folder / "soul.json").read_text())
    compact = json.dumps(dict(reversed(document.items())), separators=(",", ":")).encode()
    assert decode_identity(compact, folder=folder) == identity


def test_a_changed_seed_stops_everything(folder: Path) -> None:
    """A flipped byte anywhere in the seed file keeps the identity from being opened."""
    create(folder)
    path = folder / "seed.enc"
    good = path.read_bytes()
    for position in range(0, len(good), 5):
        changed = bytearray(good)
        changed[position] ^= 0x20
        path.write_bytes(changed)
        with pytest.raises((CustodyAuthFailedError, CustodyProtocolError, IdentityMismatchError)):
            open_identity(folder, raw_key(), clock=ManualClock())
    path.write_bytes(good)
    open_identity(folder, raw_key(), clock=ManualClock()).custody.close()


def test_a_foreign_seed_stops_everything(tmp_path: Path) -> None:
    """Another identity's seed file, sealed with the same key, is not accepted for this soul."""
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    create(mine)
    create(theirs, seed="theirs")
    shutil.copy(theirs / "seed.enc", mine / "seed.enc")
    with pytest.raises(IdentityMismatchError):
        open_identity(mine, raw_key(), clock=ManualClock())
    with pytest.raises(IdentityMismatchError):
        create(mine)


def test_a_foreign_wallet_seed_stops_everything(folder: Path) -> None:
    """A seed file that its key holder rewrote with another wallet seed gives another wallet than soul.json names."""
    create(folder)
    path = folder / "seed.enc"
    secret = raw_key().unlock()
    seeds = open_seeds(path.read_bytes(), secret)
    changed = Seeds(seeds.auth_seed.view, bytearray(range(32)))
    path.write_bytes(seal_seeds(changed, secret, entropy=SeededEntropy("again")))
    with pytest.raises(IdentityMismatchError, match="wallet"):
        open_identity(folder, raw_key(), clock=ManualClock())


def test_a_missing_seed_is_never_replaced(folder: Path) -> None:
    """A soul without seed (a fresh clone) can be shown, not opened, and no new seed is made for it."""
    identity, _ = create(folder)
    (folder / "seed.enc").unlink()
    assert read_identity(folder) == identity
    for use in (lambda: open_identity(folder, raw_key(), clock=ManualClock()), lambda: create(folder)):
        with pytest.raises(KeyNotFoundError):
            use()
    assert not (folder / "seed.enc").exists()


def test_a_loose_seed_is_refused(folder: Path) -> None:
    """A seed file that others may read is not used, not even to show that the identity exists."""
    create(folder)
    (folder / "seed.enc").chmod(0o644)
    for use in (lambda: open_identity(folder, raw_key(), clock=ManualClock()), lambda: create(folder)):
        with pytest.raises(InsecureFileError):
            use()


def test_another_backends_identity_is_not_opened_here(folder: Path) -> None:
    """An identity whose keys lie elsewhere has no seed file to open."""
    import msgspec

    identity, _ = create(folder)
    with pytest.raises(UnsupportedOperationError):
        seed_secret_kind(msgspec.structs.replace(identity, custody="vault"))


def test_a_left_over_seed_is_used(folder: Path) -> None:
    """An interrupted creation is finished with its own seed, and not without its secret."""
    first = new_identity(folder)
    (folder / "soul.json").unlink()
    with pytest.raises(CustodyAuthFailedError):
        create(folder, key_source=raw_key(99), seed="other")
    again, created = create(folder, seed="other", clock=ManualClock(START_US + 5))
    assert created
    assert (again.did, again.wallet, again.name) == (first.did, first.wallet, first.name)


def test_a_left_over_seed_without_its_key_file_is_kept(folder: Path, tmp_path: Path) -> None:
    """Losing the key file never leads to a new key over an old seed."""
    key_file = KeyFile(tmp_path / "keys" / "identity.key")
    create(folder, key_source=key_file)
    seed = (folder / "seed.enc").read_bytes()
    (folder / "soul.json").unlink()
    key_file.path.unlink()
    with pytest.raises(KeyNotFoundError):
        create(folder, key_source=key_file)
    assert (folder / "seed.enc").read_bytes() == seed
    assert not key_file.path.exists()


def test_what_the_disk_refuses_has_a_code(tmp_path: Path) -> None:
    """A folder that can't be made is an error with a code, not a traceback."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LifeError) as refusal:
        create(tmp_path / "file" / "identity")
    assert refusal.value.code == "custody.unavailable"


def test_a_full_disk_leaves_nothing_half(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk is full the call fails with a code, and works once there is room again."""
    real = os.write

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(CustodyUnavailableError, match="No space left"):
        create(folder)
    assert not (folder / "seed.enc").exists()
    monkeypatch.setattr(os, "write", real)
    assert create(folder)[1]


# Crashes. A child process is killed right before each of its file operations in turn.

CRASHING = '''
import json, os, sys
from pathlib import Path
from life.anima.home import create_identity, open_identity, read_identity
from life.anima.key_source import KeyFile
from life.testing.clock import ManualClock, SeededEntropy

top = Path(sys.argv[1])
OPERATIONS = ("open", "write", "fsync", "fchmod", "mkdir", "unlink", "replace", "rename", "close")


def make(place, seed):
    key_source = KeyFile(place / "keys" / "identity.key")
    return create_identity(
        place / "identity", key_source=key_source, clock=ManualClock(), entropy=SeededEntropy(seed)
    )


def child(place, fatal):
    """Die before file operation number `fatal`; exit 0 when there are fewer."""
    count = 0

    def deadly(real):
        def operation(*arguments, **options):
            nonlocal count
            if count == fatal:
                os._exit(9)
            count += 1
            if real.__name__ == "write" and len(arguments[1]) > 150:
                return real(arguments[0], bytes(arguments[1])[:150])
            return real(*arguments, **options)
        return operation

    for name in OPERATIONS:
        setattr(os, name, deadly(getattr(os, name)))
    make(place, "first")
    os._exit(0)


report, fatal = [], 0
while True:
    place = top / str(fatal)
    place.mkdir()
    pid = os.fork()
    if pid == 0:
        child(place, fatal)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    seed_path, soul_path = place / "identity" / "seed.enc", place / "identity" / "soul.json"
    had_seed, had_soul = seed_path.exists(), soul_path.exists()
    seed = seed_path.read_bytes() if had_seed else b""
    identity, created = make(place, "second")
    opened, custody = open_identity(
        place / "identity", KeyFile(place / "keys" / "identity.key"), clock=ManualClock()
    )
    custody.close()
    again, created_again = make(place, "third")
    report.append({
        "died": code == 9,
        "had_seed": had_seed,
        "had_soul": had_soul,
        "created": created,
        "kept_seed": not had_seed or seed_path.read_bytes() == seed,
        "same": identity == opened == again and not created_again,
        "did": identity.did,
        "files": sorted(path.name for path in (place / "identity").iterdir()),
        "modes": [oct(path.stat().st_mode & 0o777) for path in (seed_path, place / "keys" / "identity.key")],
    })
    if code == 0:
        break
    fatal += 1
print(json.dumps(report))
'''


def test_killed_before_any_file_operation(tmp_path: Path) -> None:
    """Killed before each file operation in turn, the next run always ends with one whole identity.

    A seed that was there is used, and as long as none was there a new one may be made; nothing half is left over.
    """
    ended = subprocess.run(
        [sys.executable, "-c", CRASHING, str(tmp_path)], capture_output=True, text=True, check=False, timeout=100
    )
    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout)
    assert len(report) > 30, "every operation was a crash point"
    assert [run["died"] for run in report] == [True] * (len(report) - 1) + [False]
    assert {run["had_seed"] for run in report} == {False, True}
    for run in report:
        assert run["same"]
        assert run["kept_seed"]
        assert run["created"] is not run["had_soul"]
        assert run["files"] == [".lock", "seed.enc", "soul.json"]
        assert run["modes"] == ["0o600", "0o600"]
    with_seed = {run["did"] for run in report if run["had_seed"]}
    assert len(with_seed) == 1, "a seed that was there decides the DID"


CREATING = """
import sys
from pathlib import Path
from life.anima.home import create_identity
from life.anima.key_source import KeyFile
from life.testing.clock import ManualClock, SeededEntropy

place, number = Path(sys.argv[1]), sys.argv[2]
sys.stdin.readline()
identity, created = create_identity(
    place / "identity",
    key_source=KeyFile(place / "keys" / "identity.key"),
    clock=ManualClock(),
    entropy=SeededEntropy(number),
)
print(identity.did, created)
"""


def test_several_creators_at_once_make_one_identity(tmp_path: Path) -> None:
    """Processes that start together end with the same identity; exactly one of them made it."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CREATING, str(tmp_path), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(5)
    ]
    answers = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        answers.append(out.split())
    assert len({did for did, _ in answers}) == 1
    assert sorted(created for _, created in answers) == ["False"] * 4 + ["True"]
    identity, custody = open_identity(
        tmp_path / "identity", KeyFile(tmp_path / "keys" / "identity.key"), clock=ManualClock()
    )
    assert identity.did == answers[0][0]
    custody.close()


def test_no_secret_in_any_text(folder: Path, tmp_path: Path) -> None:
    """Neither the public file nor reprs nor errors carry the seed, its key or the passphrase."""
    key_file = KeyFile(tmp_path / "keys" / "identity.key")
    identity, _ = create(folder, key_source=key_file)
    key = key_file.path.read_bytes()
    opened = open_identity(folder, key_file, clock=ManualClock())
    with pytest.raises(CustodyAuthFailedError) as refusal:
        open_identity(folder, Passphrase("open sesame, please"), clock=ManualClock())
    told = f"{identity!r} {opened!r} {key_file!r} {refusal.value!r} {refusal.value.next_step}"
    told += (folder / "soul.json").read_text()
    entropy = SeededEntropy("life")
    drawn = [entropy.token_bytes(32) for _ in range(6)]
    assert key in drawn
    for secret in (*drawn, b"open sesame"):
        assert secret.hex() not in told
        assert repr(secret)[2:-1] not in told
    opened.custody.close()


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}
