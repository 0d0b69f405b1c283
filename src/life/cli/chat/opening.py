"""What a chat works on: an open system, a running daemon, a journal that is only read, or a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import life
from life.aios.envelope import decode_record
from life.aios.errors import InvalidInputError, LifeError
from life.aios.ids import MAIN_BRANCH
from life.arcan.api import SessionView, session_view, state_at
from life.arcan.branches import BranchInfo, read_branches
from life.arcan.sessions import SessionIndex
from life.cli.chat.reader import DECIDES, About, JournalReader, Limits, ListReader, Reader
from life.cli.chat.recorded import RecordedClient, list_client
from life.cli.session_client import SessionClient, open_client
from life.host.clock import SystemClock
from life.host.data_directory import DataDirectory
from life.workspace.positions import Fork, ForkOf, Positions

_MOST_FILE_BYTES = 512 * 1_048_576


class Opened(NamedTuple):
    """A client that acts (or only looks), and where history comes from."""

    client: SessionClient
    reader: Reader
    acts: bool


@asynccontextmanager
async def open_live(data_dir: Path, *, model: str | None = None) -> AsyncIterator[Opened]:
    """On the daemon that works in the data directory, or with everything opened here."""
    async with open_client(data_dir, model=model) as client:
        from life.cli.session_local import LocalClient  # only what `open_client` opened is imported already

        if isinstance(client, LocalClient):
            async with _open_here(client) as reader:
                yield Opened(client, reader, acts=True)
            return
        from life.cli.chat.daemon_reader import DaemonReader
        from life.cli.session_daemon import DaemonClient

        assert isinstance(client, DaemonClient)
        yield Opened(client, DaemonReader(client), acts=True)


@asynccontextmanager
async def _open_here(client: SessionClient) -> AsyncIterator[Reader]:
    from life.cli.session_local import LocalClient
    from life.haima.approval_desk import ApprovalDesk
    from life.host.workspace import open_positions

    assert isinstance(client, LocalClient)
    system = client.system

    def about() -> About:
        identity, payments = system.identity, system.settings.payments
        return About(
            version=life.__version__,
            agent=identity.soul.origin.name,
            agent_id=identity.agent_id,
            did=identity.did,
            wallet=f"{identity.wallet.address} on {identity.wallet.chain}",
            custody=identity.custody,
            provider=system.settings.model.provider,
            journal=system.settings.journal.engine,
            payments=Limits(
                enabled=payments.enabled,
                network=payments.network,
                auto_approve_micro=payments.auto_approve_cap_micro,
                most_per_payment_micro=payments.hard_cap_per_tx_micro,
                most_per_session_micro=payments.session_spend_cap_micro,
            ),
            tools=tuple(sorted(system.runtime.tool_names)),
        )

    desk = ApprovalDesk(
        system.journal,
        system.clock,
        system.entropy,
        agent_id=DECIDES,
        lifetime_s=system.settings.payments.approval_lifetime_s,
    )
    try:
        async with open_positions(system) as positions:
            yield JournalReader(
                system.journal,
                positions,
                system.equipment.blobs,
                about=about,
                desk=desk,
                pending=system.runtime.pending_approvals,
            )
    finally:
        await desk.aclose()


@asynccontextmanager
async def open_journal_only(data_dir: Path) -> AsyncIterator[Opened]:
    """The journal and its blobs and nothing else, also beside a running daemon: no identity, no model, no tool."""
    from life.host.lago_store import open_store
    from life.lago.snapshots import SqliteSnapshots

    async with open_store(data_dir) as store, SqliteSnapshots(DataDirectory(data_dir).journal) as snapshots:
        journal = store.journal

        async def branches(session_id: str) -> list[BranchInfo]:
            return list((await read_branches(journal, session_id)).values())

        async def fork_of(session_id: str, branch: str) -> Fork | None:
            if branch == MAIN_BRANCH:
                return None
            found = (await read_branches(journal, session_id)).get(branch)
            return (
                None if found is None or found.parent_branch is None else Fork(found.parent_branch, found.fork_sequence)
            )

        async def view(session_id: str, branch: str) -> SessionView:
            return session_view(await state_at(journal, session_id, branch=branch, at=None))

        forks: ForkOf = fork_of
        reader = JournalReader(journal, Positions(journal, forks, snapshots), store.blobs)
        client = RecordedClient(
            reader,
            SystemClock(),
            place=str(data_dir),
            sessions=SessionIndex(journal).list,
            branches=branches,
            view=view,
            grows=True,
        )
        yield Opened(client, reader, acts=False)


def open_file(path: Path) -> Opened:
    """A recording as JSON lines, as `arcan session export` writes them. InvalidInputError when it is none."""
    try:
        if path.stat().st_size > _MOST_FILE_BYTES:
            raise InvalidInputError(f"{path} is too large for a recording.")
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InvalidInputError(f"{path} can't be read: {error.strerror}.") from None
    try:
        records = [decode_record(line) for line in lines if line.strip()]
        reader = ListReader(records)
    except LifeError as error:
        raise InvalidInputError(
            f"{path} is no recording: {error.message}",
            next_step="Make one with: arcan session export ID -o FILE",
        ) from None
    return Opened(list_client(reader, SystemClock(), place=path.name), reader, acts=False)
