"""A software TPM with a resource manager, and a PKCS#11 token in it (part `swtpm`).

swtpm is the chip, tpm2-abrmd the resource manager in front of it (AN-TPM-4), reached over a D-Bus session bus of our own;
libtpm2_pkcs11 in the test process is the module. GLib, which the module uses for D-Bus, ends the process when its bus goes
away, so the bus lives exactly as long as this process: it ends when the pipe that it reads is closed.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from life.testing.parts import find_tpm2_pkcs11
from tests.harness.process import POLL_S, ChildProcess, child_environment
from tests.harness.softhsm import environment_set

PIN: Final = "5678"
SO_PIN: Final = "so-1234"
LABEL: Final = "anima"
_BUS: Final = 'dbus-daemon --session --nofork --nopidfile --print-address=1 & bus=$!; read -r end; kill "$bus"'


class SwTpm:
    """A running software TPM. `kill` and `start` are the chip's (with its resource manager), as for a crash."""

    def __init__(self, folder: Path, *, bus: str) -> None:
        module = find_tpm2_pkcs11()
        if module is None:
            raise FileNotFoundError("libtpm2-pkcs11-1 is not installed")
        self.module = module
        self.label = LABEL
        self.pin = PIN
        self.folder = folder
        self._port, self._control_port = _free_ports()
        self.environment = {
            "DBUS_SESSION_BUS_ADDRESS": bus,
            "TPM2_PKCS11_STORE": str(folder / "store"),
            "TPM2_PKCS11_TCTI": "tabrmd:bus_type=session",
            "TPM2TOOLS_TCTI": "tabrmd:bus_type=session",
            "TPM2_PKCS11_LOG_LEVEL": "0",
            "TSS2_LOG": "all+none",
        }
        self._chip: ChildProcess | None = None
        self._manager: ChildProcess | None = None

    def start(self) -> None:
        """Start chip and resource manager, and wait until the latter answers."""
        state = self.folder / "state"
        state.mkdir(exist_ok=True)
        chip = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", "--flags", "not-need-init,startup-clear"]
        chip += ["--server", f"type=tcp,port={self._port},bindaddr=127.0.0.1"]
        chip += ["--ctrl", f"type=tcp,port={self._control_port},bindaddr=127.0.0.1"]
        self._chip = ChildProcess.spawn([shutil.which("swtpm") or "swtpm", *chip[1:]], name="swtpm")
        _wait_for_port(self._port)
        manager = shutil.which("tpm2-abrmd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        arguments = ["--session", "--allow-root", f"--tcti=swtpm:host=127.0.0.1,port={self._port}"]
        self._manager = ChildProcess.spawn([manager or "tpm2-abrmd", *arguments], env=self.environment)
        self._wait_for_manager()

    def kill(self) -> None:
        """Chip and resource manager are gone from one moment to the next."""
        for process in (self._manager, self._chip):
            if process is not None:
                process.kill()
        self._manager = self._chip = None

    def freeze(self) -> None:
        """The chip stands still: calls hang."""
        assert self._chip is not None
        self._chip.suspend()

    def thaw(self) -> None:
        """The chip goes on."""
        assert self._chip is not None
        self._chip.resume()

    def stop(self) -> None:
        """End both; may be called again."""
        for process in (self._manager, self._chip):
            if process is not None:
                process.stop()
        self._manager = self._chip = None

    def make_token(self) -> None:
        """Make the store and a token with its PINs, as docs/custody/tpm.md says."""
        store = self.folder / "store"
        store.mkdir()
        self.tool("tpm2_ptool", "init", f"--path={store}")
        pins = [f"--sopin={SO_PIN}", f"--userpin={PIN}"]
        self.tool("tpm2_ptool", "addtoken", f"--path={store}", "--pid=1", *pins, f"--label={LABEL}")

    def clear_lockout(self) -> None:
        """What the owner of the machine does after too many wrong PINs."""
        self.tool("tpm2_dictionarylockout", "--clear-lockout")

    def tool(self, name: str, *arguments: str) -> str:
        """Run one of the TPM's command line tools; its output."""
        ended = subprocess.run(
            [name, *arguments],
            env=child_environment(self.environment),
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == 0, f"{name}: {ended.stdout}{ended.stderr}"
        return ended.stdout

    def _wait_for_manager(self, *, deadline_s: float = 15.0) -> None:
        deadline = time.monotonic() + deadline_s
        environment = child_environment(self.environment)
        assert self._manager is not None
        while subprocess.run(["tpm2_getcap", "properties-fixed"], env=environment, capture_output=True).returncode:
            if time.monotonic() > deadline or not self._manager.is_running:
                raise TimeoutError(f"tpm2-abrmd did not answer: {self._manager.stderr()[-500:]}")
            time.sleep(POLL_S)


@contextmanager
def swtpm_token(folder: Path) -> Iterator[SwTpm]:
    """A TPM with one empty token below `folder`; this process's environment points to it meanwhile."""
    tpm = SwTpm(folder, bus=session_bus())
    with environment_set(tpm.environment):
        try:
            tpm.start()
            tpm.make_token()
            yield tpm
        finally:
            tpm.stop()


@cache
def session_bus() -> str:
    """The address of this process's own bus."""
    keep_open, held = os.pipe()
    output, written = os.pipe()
    moves = [(os.POSIX_SPAWN_DUP2, keep_open, 0), (os.POSIX_SPAWN_DUP2, written, 1)]
    null = (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)
    # `held` stays open, and is inherited by nobody, until this process ends.
    os.posix_spawn("/bin/sh", ["sh", "-c", _BUS], child_environment(), file_actions=[*moves, null])
    os.close(keep_open)
    os.close(written)
    with os.fdopen(output) as lines:
        address = lines.readline().strip()
    assert address, "dbus-daemon did not start"
    assert held
    return address


def _free_ports() -> tuple[int, int]:
    """Two neighbouring ports that nobody uses now: the client looks for the control channel one above the other."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port: int = first.getsockname()[1]
            try:
                with socket.create_server(("127.0.0.1", port + 1)):
                    return port, port + 1
            except OSError:  # somebody has it; try another pair
                continue


def _wait_for_port(port: int, *, deadline_s: float = 10.0) -> None:
    """swtpm serves one connection after the other, so it is not connected to, only looked for."""
    deadline = time.monotonic() + deadline_s
    wanted = f"0100007F:{port:04X}"
    while not any(line.split()[1] == wanted for line in Path("/proc/net/tcp").read_text().splitlines()[1:]):
        if time.monotonic() > deadline:
            raise TimeoutError("swtpm did not listen")
        time.sleep(POLL_S)
