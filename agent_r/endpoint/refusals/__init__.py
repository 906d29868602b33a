"""What a server refuses of a request: read by structure, by words, or found out by trial."""
