"""SpacetimeDB's client protocol: the official npm client, and hostile ones."""
