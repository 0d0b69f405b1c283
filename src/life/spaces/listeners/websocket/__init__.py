"""Spaces' own protocol: JSON over one WebSocket (docs/spaces.md).

frames   the shapes of what is sent, both ways
door     the server's side, one coroutine pair per connection
client   the client's side: calls, subscriptions, reconnecting with resume
"""
