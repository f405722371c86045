"""What the generators of Python samples share: functions with doctests, mutants of them, and where both are run."""
