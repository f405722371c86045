"""Strategy learning: which way of executing works best for which kind of task."""
