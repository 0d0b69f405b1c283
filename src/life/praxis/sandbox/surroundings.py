"""What a command finds around it: a small file system, a few variables, and names for its user."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

WORKSPACE: Final = "/workspace"
"""Where a command finds its workspace, in every session."""

TMP: Final = "/tmp"  # noqa: S108 -- inside the sandbox, where it is private
SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108 -- likewise
HOME: Final = f"{TMP}/home"
SEARCH_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PROXY_PORT: Final = 3128

SYSTEM_DIRECTORIES: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
"""Programs and libraries; on merged systems all but the first are links into it."""

SYSTEM_FILES: Final = (
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/ca-certificates.conf",
    "/etc/crypto-policies",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/magic",
    "/etc/mime.types",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/terminfo",
)
"""What programs need of /etc: nothing with a secret in it, nothing about this machine's people."""

MASKED_FILES: Final = (
    "/proc/kcore",
    "/proc/kmsg",
    "/proc/kallsyms",
    "/proc/keys",
    "/proc/key-users",
    "/proc/timer_list",
)
"""Parts of /proc that tell of the kernel or of others; where the machine runs us as root they would be readable."""


def environment(extra: Mapping[str, str], *, home: str, tmp: str, proxy: bool) -> dict[str, str]:
    """Everything a command's environment holds; nothing is inherited. Proxy variables only where there is a proxy."""
    variables = {
        "PATH": SEARCH_PATH,
        "HOME": home,
        "TMPDIR": tmp,
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TERM": "dumb",
        "SHELL": "/bin/bash",
        "USER": "agent",
        "LOGNAME": "agent",
        "PAGER": "cat",
        "GIT_PAGER": "cat",
        "GIT_TERMINAL_PROMPT": "0",
        "DEBIAN_FRONTEND": "noninteractive",
    }
    if proxy:
        address = f"http://127.0.0.1:{PROXY_PORT}"
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            variables[name] = variables[name.lower()] = address
        variables["NO_PROXY"] = variables["no_proxy"] = ""
    return {**variables, **extra}


def etc_files() -> dict[str, bytes]:
    """Files of /etc that are made up: a user, a host name, no name server."""
    user, group = os.getuid(), os.getgid()
    root = "" if user == 0 else "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\n"
    root_group = "" if group == 0 else "root:x:0:\n"
    return {
        "/etc/passwd": f"{root}agent:x:{user}:{group}:agent:{HOME}:/bin/bash\n".encode(),
        "/etc/group": f"{root_group}agent:x:{group}:\n".encode(),
        "/etc/hosts": b"127.0.0.1 localhost sandbox\n::1 localhost\n",
        "/etc/nsswitch.conf": b"passwd: files\ngroup: files\nhosts: files\n",
        "/etc/resolv.conf": b"# There is no name server here; names are resolved by the proxy, if there is one.\n",
        "/etc/hostname": b"sandbox\n",
    }


def present(paths: tuple[str, ...]) -> list[str]:
    """Those that this machine has; links count."""
    return [path for path in paths if os.path.lexists(path)]


def link_target(path: str) -> str | None:
    """Where a link leads, None for anything else."""
    return str(Path(path).readlink()) if Path(path).is_symlink() else None
