"""Hiring: one agent asks another for work, the price waits in an escrow, and the delivery is paid or rejected.

Spaces carries the words (a task that only the two of them see); the money is somewhere else, behind the `Escrow` port, and is believed
nowhere else.
"""
