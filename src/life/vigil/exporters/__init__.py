"""Where spans go: one module per kind. A sink is called from one thread, never from the event loop."""
