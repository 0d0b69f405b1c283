"""x402's scheme `exact` on Solana (x402.md §3.6). Needs the extra `solana` (solders)."""
