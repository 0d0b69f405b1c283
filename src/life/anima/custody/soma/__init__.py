"""The custody oracle: keys in a daemon of their own, used over a Unix socket by whoever a policy names (anima.md §20)."""
