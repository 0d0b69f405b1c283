"""Event streams for clients (lago.md §8): one journal stream told in several wire formats, as server-sent events.

lago        the canonical format: every event, as it is
catalogue   the formats by their names; the providers' own are in `life.aios.streams`
log         frames made once for everybody who listens to a stream in a format
follower    one client's place: history, live, and back to history when it is slow
"""
