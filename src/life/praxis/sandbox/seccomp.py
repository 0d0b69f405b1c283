"""A filter of system calls, assembled here: a deny list in classic BPF (seccomp(2), linux/filter.h, linux/audit.h).

Denied are calls that no build, test or script needs and that reach kernel parts which are shared with the host: keyrings,
modules, kexec, BPF, performance events, mounting, new namespaces, io_uring (its operations pass by every filter),
`userfaultfd`, handles to files, faking terminal input, and every socket family but Unix, IPv4, IPv6 and netlink, or, where there
is no network namespace, all of them. Raw and packet sockets are refused as well. A denied call fails with EPERM; a program for another architecture of the same
machine is ended, since its calls have other numbers.
"""

from __future__ import annotations

import platform
import struct
from typing import Final, NamedTuple

_LD_ABS: Final = 0x20
_JEQ: Final = 0x15
_JGE: Final = 0x35
_AND: Final = 0x54
_RET: Final = 0x06
_ALLOW: Final = 0x7FFF_0000
_EPERM: Final = 0x0005_0000 | 1
_ENOSYS: Final = 0x0005_0000 | 38
_KILL: Final = 0x8000_0000
_NR: Final = 0
_ARCH: Final = 4
_ARG0: Final = 16
_ARG1: Final = 24
_X32: Final = 0x4000_0000
_CLONE_NEW: Final = 0x7E02_0000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""
_TIOCSTI: Final = 0x5412
_TIOCLINUX: Final = 0x541C
_SOCK_TYPE: Final = 0xF
_SOCK_RAW: Final = 3
_SOCK_PACKET: Final = 10
_NETLINK: Final = 16
_FAMILIES: Final = (1, 2, 10, _NETLINK)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK."""


class _Machine(NamedTuple):
    """Numbers of one architecture (asm/unistd.h)."""

    audit_arch: int
    socket: int
    clone: int
    clone3: int
    ioctl: int
    denied: tuple[int, ...]


# In order: syslog, acct, settimeofday, mount, umount2, swapon, swapoff, reboot, sethostname, setdomainname, init_module, delete_module,
# quotactl, pivot_root, add_key, request_key, keyctl, unshare, move_pages, perf_event_open, fanotify_init, name_to_handle_at,
# open_by_handle_at, clock_adjtime, setns, process_vm_writev, finit_module, kexec_load, kexec_file_load, bpf, userfaultfd, io_uring ×3,
# open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr.
_NEWER: Final = (425, 426, 427, 428, 429, 430, 431, 432, 433, 442)
_MACHINES: Final = {
    "x86_64": _Machine(
        audit_arch=0xC000_003E,
        socket=41,
        clone=56,
        clone3=435,
        ioctl=16,
        denied=(
            *(103, 163, 164, 165, 166, 167, 168, 169, 170, 171, 175, 176, 179, 155, 248, 249, 250, 272, 279, 298, 300),
            *(303, 304, 305, 308, 311, 313, 246, 320, 321, 323, *_NEWER),
        ),
    ),
    "aarch64": _Machine(
        audit_arch=0xC000_00B7,
        socket=198,
        clone=220,
        clone3=435,
        ioctl=29,
        denied=(
            *(
                116,
                89,
                170,
                40,
                39,
                224,
                225,
                142,
                161,
                162,
                105,
                106,
                60,
                41,
                217,
                218,
                219,
                97,
                239,
                241,
                262,
                264,
                265,
            ),
            *(266, 268, 271, 273, 104, 294, 280, 282, *_NEWER),
        ),
    ),
}


def _instruction(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, operand)


def _deny(number: int, answer: int = _EPERM) -> bytes:
    """With the call's number loaded: this one is answered with an error."""
    return _instruction(_JEQ, number, 0, 1) + _instruction(_RET, answer)


def _within(number: int, rules: bytes) -> bytes:
    """With the call's number loaded: `rules`, which end in a return, for this call only. At most 255 instructions."""
    return _instruction(_JEQ, number, 0, len(rules) // 8) + rules


def _sockets() -> bytes:
    """Rules for socket(2): the families, without raw and packet sockets."""
    rules = [_instruction(_LD_ABS, _ARG0)]
    for index, family in enumerate(_FAMILIES):
        rules.append(_instruction(_JEQ, family, len(_FAMILIES) - index, 0))  # over the rest and the refusal
    rules.append(_instruction(_RET, _EPERM))
    rules += [_instruction(_LD_ABS, _ARG1), _instruction(_AND, _SOCK_TYPE), _deny(_SOCK_PACKET)]
    # A raw socket passes when it is netlink, whose sockets are raw as a rule and reach only the own namespace.
    rules += [_instruction(_JEQ, _SOCK_RAW, 0, 3), _instruction(_LD_ABS, _ARG0)]
    rules += [_instruction(_JEQ, _NETLINK, 1, 0), _instruction(_RET, _EPERM)]
    rules.append(_instruction(_RET, _ALLOW))
    return b"".join(rules)


def is_supported() -> bool:
    """Whether the numbers of this machine's architecture are known here."""
    return platform.machine() in _MACHINES


def assemble(*, sockets: bool) -> bytes:
    """The filter as an array of `struct sock_filter`. Without `sockets`, socket(2) is denied altogether (pairs can be made).

    LookupError: an architecture whose numbers are not known here (`is_supported`).
    """
    machine = _MACHINES[platform.machine()]
    rules = [
        _instruction(_LD_ABS, _ARCH),
        _instruction(_JEQ, machine.audit_arch, 1, 0),
        _instruction(_RET, _KILL),
        _instruction(_LD_ABS, _NR),
    ]
    if platform.machine() == "x86_64":
        rules += [_instruction(_JGE, _X32, 0, 1), _instruction(_RET, _ENOSYS)]
    rules += [_deny(number) for number in machine.denied]
    rules.append(
        _deny(machine.clone3, _ENOSYS)
    )  # its flags lie in memory, where a filter can't look; libc falls back on clone
    clone = [_instruction(_LD_ABS, _ARG0), _instruction(_AND, _CLONE_NEW), _instruction(_JEQ, 0, 1, 0)]
    clone += [_instruction(_RET, _EPERM), _instruction(_RET, _ALLOW)]
    rules.append(_within(machine.clone, b"".join(clone)))
    ioctl = [_instruction(_LD_ABS, _ARG1), _deny(_TIOCSTI), _deny(_TIOCLINUX), _instruction(_RET, _ALLOW)]
    rules.append(_within(machine.ioctl, b"".join(ioctl)))
    rules.append(_within(machine.socket, _sockets()) if sockets else _deny(machine.socket))
    rules.append(_instruction(_RET, _ALLOW))
    return b"".join(rules)
