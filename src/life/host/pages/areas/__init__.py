"""The areas of the operator's pages: one module each, every view an address."""
