"""Built-in generators of samples, each in a file of its own; see `campaigns.ports`."""
