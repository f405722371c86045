"""The client of a running daemon: HTTP, retries, a breaker, streams."""
