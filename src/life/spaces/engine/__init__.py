"""Where commands are ordered, stored and delivered: the port and its backends, one file or folder each."""
