"""Names for the integers and texts that identify things, so that a type checker tells them apart."""

from typing import NewType

RunId = NewType("RunId", int)
TaskId = NewType("TaskId", str)
WorkerId = NewType("WorkerId", str)
Token = NewType("Token", int)
"""Fencing token: grows with every claim of a run; a write with an old one changes nothing."""
Cycle = NewType("Cycle", int)
"""The nominal instant (us) of the firing that opened the cycle, or minus the id of the run that opened it by hand."""
