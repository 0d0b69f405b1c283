"""Relay: watch and steer the sessions of an agent elsewhere, over Spaces, without opening a port there.

rights      who may watch, steer, approve: grants, and their pure fold together with the commands that were carried out
log         the same in the journal: what is allowed, and which command is carried out, once
operations  what can be asked for, and the right that each needs
envelopes   what travels: a signed opening and its answer, then sealed frames
sealing     the keys of a link, agreed between two did:keys, and its sealed frames
stream      frames in order, without loss or repetition, over something that loses, repeats and reorders
carrier     frames over Spaces: direct messages and signals of a conversation
link        one side of an open link: both streams, acknowledgement, heartbeat
node        the side where the sessions are
owner       the side where somebody sits

The server in the middle sees who talks to whom, when and how much. It can hold back; it can't read, change, replay or add.
"""
