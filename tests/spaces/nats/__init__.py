"""Spaces on NATS JetStream, against the real server."""
