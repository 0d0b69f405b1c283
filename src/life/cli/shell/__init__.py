"""`arcan shell`: a conversation in a terminal.

command        the command and its options
conversation   one session: what is said, followed and decided
transcript     events → what a person is shown, without a terminal in it
cards          what is shown → lines with styles
screen         a terminal: finished lines above, what moves and the input below
plain          no terminal: lines in, lines out
slash          the commands that begin with `/`
mentions       `@file`
"""
