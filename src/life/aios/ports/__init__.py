"""The ports: small protocols where the subsystems meet.

A port has two to six methods. Each docstring states order, idempotence, failure and what holds after a crash. Backends
stand in the subsystem that owns the port, in a folder named by it; `life.testing` has one conformance suite per port.
"""
