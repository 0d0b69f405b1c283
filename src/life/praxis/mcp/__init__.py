"""The Model Context Protocol, both ways: our tools for other hosts, and other servers' tools for our agents.

The server's side: `doors` (what the server needs from its host), `blocks` (results as content blocks), `server`, `http`.
The client's side: `config`, `trust`, `stdio_transport`, `connection`, `definitions`, `results`, `toolbox`, `sign_in`.
"""
