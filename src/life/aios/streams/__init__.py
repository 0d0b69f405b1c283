"""Event streams told to clients: from the journal's records to the frames of a wire format, without input or output of their own.

frames      the bytes of a frame
format      what a format is: a state machine from records to frames
runs        what the assistant put out, run by run: the reading that the provider formats share
openai      chat.completion.chunk
anthropic   Messages
vercel      AI SDK UI messages, for its versions 6 and 7
resume      where the open run begins, so that a machine can be folded again

Both who serves a journal (`life.lago.streams`) and who serves an agent (`life.arcan.doors`) tell runs in these words.
"""
