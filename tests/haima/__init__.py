"""Finance: x402, facilitator, chains, policy and books."""
