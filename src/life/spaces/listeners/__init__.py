"""How clients reach an engine: one folder per protocol."""
