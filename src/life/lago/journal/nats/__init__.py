"""The journal on NATS JetStream, for more than one machine (the extra `nats`).

One JetStream stream holds one journal. Every append is an atomic batch of the server: all of its messages are stored or
none, and the answer comes when they are on disk (life.lago.journal.nats.committer). docs/journal-nats.md says what
"durable" means here, and what is refused.

    subjects      names of streams, events and marks
    messages      what a stored message holds
    access        where the servers are, and as whom to ask them
    connection    the connection, and the server's answers
    stream        making the JetStream stream, checking one that is there, and what the servers say about flushing
    planning      which messages a group of batches becomes
    committer     group commit: publish, and find out what became of it
    contention    taking turns among processes
    reader        heads, single events, pages
    subscription  history and then live
    journal       the port
    verification  checking all of it
    errors        what only this engine refuses
    snapshots     snapshots of projections in a key-value bucket

Nothing is imported here, so that naming this package does not need the extra.
"""
