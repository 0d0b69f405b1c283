"""The workspace page: the fold of canonical events that it draws, the routes that it needs beyond the session API, its files.

fold.py       the page's fold in Python; `ui/src/fold` is the same in TypeScript, and recordings keep them equal
state.py      what the fold gives
positions.py  folded states of long sessions, at any position
assets.py     the built page, and whether it is the one that its sources give
export.py     a session as one HTML file that opens from disk
api.py        the routes
"""
