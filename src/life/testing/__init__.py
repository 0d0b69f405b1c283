"""For tests, ours and yours: fakes for time and chance, and one conformance suite per port."""
