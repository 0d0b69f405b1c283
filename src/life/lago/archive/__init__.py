"""Session archives: one file with everything an auditor needs, and nothing but Python to check it with (docs/proof.md)."""
