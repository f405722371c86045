"""Durable tasks: what a run is and may become (pure), the queue in the database, the loop that works it off, flows."""
