"""Praxis: what an agent can do. Tools behind one registry, inside a workspace, with an honest answer after a crash.

Start at `life.praxis.standard` (the tools every agent has) or `life.praxis.tool` (how to write one).
"""
