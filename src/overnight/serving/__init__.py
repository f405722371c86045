"""Serving: which version answers, models that are resident, what came of each request, and requests asked again."""
