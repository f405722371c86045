"""Writes the traceback of an attempt that ran in this process into the log of its run."""

from overnight.base.refs import WorkOrder
from overnight.processes.capture import RunLog


def write_traceback(order: WorkOrder, text: str) -> None:
    """Append `text` to the order's log, if it has one; a log that cannot be written stops nobody."""
    log = RunLog(order.log_path)
    log.write(text.encode(errors="replace"))
    log.close()
