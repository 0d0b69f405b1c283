"""A port that is taken: by whom, and which one is free instead."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from life.host.errors import HostError
from life.host.http.port_holder import holder_of, next_free
from life.host.http.server import bind

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who listens")


@linux
def test_another_process_that_listens_is_named() -> None:
    """Its id and its command line; after it has gone, nobody."""
    code = "import socket,sys; s=socket.create_server(('127.0.0.1',0)); print(s.getsockname()[1],flush=True); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    port = int(process.stdout.readline())
    try:
        holder = holder_of(port)
        assert holder is not None
        assert holder.process_id == process.pid
        assert "-c" in holder.command
        assert len(holder.command) <= 81
        with pytest.raises(HostError) as caught:
            bind("127.0.0.1", port)
        assert f"process {process.pid}" in caught.value.message
        assert caught.value.next_step is not None
        free = int(caught.value.next_step.rpartition(" ")[2])
        assert free > port
        bind("127.0.0.1", free).close()
    finally:
        process.communicate()
    assert holder_of(port) is None


@linux
def test_ourselves_on_ipv6_too() -> None:
    """A listener of IPv6 counts; a connection to a port does not."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        port = listener.getsockname()[1]
        holder = holder_of(port)
        assert holder is not None
        assert holder.process_id == os.getpid()
        with socket.create_connection(("::1", port)) as line:
            assert holder_of(line.getsockname()[1]) is None


def test_where_nothing_tells_nothing_is_said(tmp_path: Path) -> None:
    """Without /proc, and with tables that are not as expected."""
    assert holder_of(80, tmp_path) is None
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text("sl local\n  garbage\n")
    assert holder_of(80, tmp_path) is None


def test_the_next_free_port_can_be_listened_on() -> None:
    """Taken ones are passed over; past the last port there is none."""
    with socket.create_server(("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        free = next_free("127.0.0.1", port - 1, socket.AF_INET)
        assert free is not None
        assert free > port
    assert next_free("127.0.0.1", 65_535, socket.AF_INET) is None
