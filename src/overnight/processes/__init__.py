"""Starts, watches and ends child processes; the only room that does."""
