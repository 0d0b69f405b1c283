"""Spaces on NATS JetStream: replicated reducers over one ordered log (spaces-engines.md §2.4).

The log is a JetStream stream with one subject. Its messages are blocks: the entries of one or many commands, with the digest of
the chain before and after. A process that runs Spaces over it is a hub; there may be any number.

**A hub decides, then appends.** It runs the reducers of everything that waits against its own state as of sequence n, takes
the changes back, and publishes the entries as one block with "expected last sequence n". The server stores the block only if
nothing came in between; otherwise the hub reads what came and decides again. So there is one total order and no leader among
hubs, and whoever dies in the middle leaves nothing half done. The other way (append commands, let every node decide them) was
not taken: nodes of different versions would decide differently, refusals would fill the log, and a replay would have to run old
reducers. Here the log holds what happened, byte for byte as the embedded engine's does.

**Nothing is believed before a majority has it.** The state of a hub is the log's and nothing else: changes are applied when the server
has acknowledged the block or repeats it, and only then anybody is told. A refusal is answered only once the state that it rests on
is known to be the newest. Where there is no answer, the same block is offered again under the same expectation, which at
most one attempt can meet; a caller who was told `unavailable` repeats under the same key and gets the first result.

**A replica that differs is not served.** Each block names the digest of the chain before it (BLAKE3 over every entry's bytes)
and after it, and the message carries the digest of its own bytes. A hub that reads a block that does not follow from what it has stops
with LogDamagedError.

Every hub keeps the embedded engine's file as its projection: the log so far, and the rows. It restarts from there and reads
on; a file that is lost is read again from the stream.
"""
