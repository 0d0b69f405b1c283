"""What every daemon's HTTP surface shares: the guard at the door, problem details, server-sent events, OpenAPI."""
