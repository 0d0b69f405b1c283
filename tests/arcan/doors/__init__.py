"""The doors: official clients of each protocol against a runtime with real tools, over loopback."""
