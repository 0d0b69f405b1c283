"""Event streams for clients (lago.md §8): one journal stream told in several wire formats, as server-sent events.

frames      the bytes of a frame
format      what a format is: a state machine from records to frames
runs        what the assistant put out, run by run: the reading that the provider formats share
lago        the canonical format: every event, as it is
openai      chat.completion.chunk
anthropic   Messages
vercel      AI SDK UI messages, for its versions 6 and 7
catalogue   the formats by their names
resume      where the open run begins, so that a machine can be folded again
log         frames made once for everybody who listens to a stream in a format
follower    one client's place: history, live, and back to history when it is slow
"""
