"""`life chat`: the workspace in a terminal. The same events and the same fold as the page (`life.workspace.fold`), and the shell's commands.

command     the command and its options
reader      history in blocks: of an open system, of a daemon, of a recording
recorded    a session that is only looked at
track       one branch: where one looks, what is live, what is being written
controller  the shell's conversation over a track: what is typed, decided, steered
untrusted   what others wrote, without what could steer a terminal
words       the words, English and Spanish; signs, with and without Unicode
describe    an event in one line
prose       Markdown as lines
entries     the conversation as lines
questions   what waits for a person
*_pane(s)   files, journal, inspectors
widgets     lists and lines, without a sign that is not ours
columns     the two columns beside the conversation
composer    the input
asking      the question that waits
scrubber    the line of time
dialogs     what is chosen from a list, and the beginning of a branch
drawing     the parts of the screen, drawn from the state
moving      through time, between columns
screen      the application: what keys do
restore     the terminal as it was, whatever ended the program
"""
