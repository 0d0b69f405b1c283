"""The contract that every part of Life shares: ids, events, records, state, policy, money, errors, ports.

Everything here is pure. It reads no clock, draws no randomness, opens no file and no socket; time and chance arrive as
arguments (`life.aios.ports.clock`). Every other package may import this one; this one imports none of them.
"""
