"""Proof that a journal was not changed: signed checkpoints, inclusion proofs, outside copies, redaction (docs/proof.md)."""
