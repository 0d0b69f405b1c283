"""Hiring, composed: houses that hold money, escrow, trust, and what a daemon does with them."""
