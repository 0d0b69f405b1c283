"""Official x402 counterparts, run as processes of their own."""
