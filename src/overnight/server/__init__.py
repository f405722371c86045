"""HTTP: translates requests into calls of `app`."""
