"""Tuning: which settings a learner may be tried with, which trials go on, and what they came to."""
