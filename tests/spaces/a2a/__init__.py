"""A2A 1.0: the official SDKs both ways, and callers that mean harm."""
