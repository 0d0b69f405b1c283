"""Real processes that the tests run against: a local chain, its contracts, and a proxy that counts calls."""
