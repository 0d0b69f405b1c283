"""SpacetimeDB's client protocol in front of any Spaces engine (docs/spacetimedb.md).

It is not SpacetimeDB: it speaks what its clients speak, so that they can join.

bsatn       the binary format: types, reading hostile bytes, writing
types       our tables and reducers in those types
messages    client and server messages, v2 and v3 frames, compression
sql         the subset of SQL that subscriptions need
connection  one client
schema      the module description, and bindings generated from it
listener    HTTP and WebSocket routes
errors      what is refused

Source: the public sources of SpacetimeDB 2.x; spaces-engines.md §1.1.
"""
