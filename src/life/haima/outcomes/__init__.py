"""Outcome pricing: work that is paid for by what came out of it (HM-OUTCOME, HM-BILL)."""
