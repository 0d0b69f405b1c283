"""Relay: links over a hub that means harm, and the real thing end to end."""
