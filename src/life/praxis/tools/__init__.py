"""One tool per module, named as the model calls it."""
