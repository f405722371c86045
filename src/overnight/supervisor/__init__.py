"""Services: other programs that a project starts, adopts, probes and starts again."""
