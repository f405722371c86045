"""One file per kind of source: how its rows are read, one at a time, without trusting any of it."""
