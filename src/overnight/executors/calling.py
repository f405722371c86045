"""Calls a task's function and turns whatever it does into an outcome."""

import inspect
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from overnight.base.clock import cpu_s
from overnight.base.errors import InvalidTask, Parking, Yielding, family_of, one_line
from overnight.base.files import to_json
from overnight.base.ports import RunContext
from overnight.base.refs import ErrorRef, Outcome, Usage, WorkOrder

Resolve = Callable[[WorkOrder], Callable[..., object]]
"""Finds the function of an order; may raise anything, which then is how the attempt fails."""

Log = Callable[[str], None]
"""Takes the traceback of a failure."""

_MESSAGE_LIMIT = 500


def call(order: WorkOrder, fn: Callable[..., object], ctx: RunContext, log: Log) -> Outcome:
    """Call `fn` with the order's arguments, and with `ctx` if it has a parameter of that name.

    Never raises: an exception, sys.exit and Ctrl-C included, is a failed attempt, a Parking a parked one, and a
    Yielding one that is given back.
    """
    try:
        value = fn(**order.args, ctx=ctx) if takes_ctx(fn) else fn(**order.args)
        return Outcome(kind="succeeded", result=to_json(value, what="the result"), counts=dict(ctx.counts))
    except Parking as parking:
        return Outcome(kind="parked", waiting_for=parking.waiting_for)
    except Yielding as yielding:
        return Outcome(
            kind="cancelled", error=ErrorRef(family="transient", type="Yielding", message=message_of(yielding))
        )
    except TypeError as error:
        return failure(misfit(order, fn, error) or error, log)
    except BaseException as error:  # noqa: BLE001 - what the function does must not harm its host
        return failure(error, log)


def misfit(order: WorkOrder, fn: Callable[..., object], error: TypeError) -> InvalidTask | None:
    """Return what is wrong with the order's arguments, where the call of `fn` itself has raised the error.

    They do not fit, and will not the next time.
    """
    if error.__traceback__ is None or error.__traceback__.tb_next is not None:
        return None
    said = str(error).partition("() ")[2] or str(error)
    takes = [name for name in _parameters(fn) if name not in ("ctx", "flow")]
    known = f"its arguments are {', '.join(takes)}" if takes else "it has no arguments"
    return InvalidTask(f"{order.task_id} cannot be called so: {said}; {known}")


def perform(order: WorkOrder, resolve: Resolve, ctx: RunContext, log: Log) -> Outcome:
    """Find the order's function and call it; never raises."""
    try:
        fn = resolve(order)
    except BaseException as error:  # noqa: BLE001 - importing the function's module runs other people's code
        return failure(error, log)
    return call(order, fn, ctx, log)


def perform_here(order: WorkOrder, resolve: Resolve, ctx: RunContext, log: Log) -> Outcome:
    """Perform the order in this thread and measure the CPU time of this thread."""
    before = cpu_s()
    outcome = perform(order, resolve, ctx, log)
    return replace(outcome, usage=Usage(cpu_s=cpu_s() - before))


def failure(error: BaseException, log: Log) -> Outcome:
    """Return the failed outcome for an exception, and log its traceback."""
    inner = error.__traceback__.tb_next if error.__traceback__ is not None else None
    try:
        log("".join(traceback.format_exception(type(error), error, inner)))
    except Exception:  # noqa: BLE001 - an exception whose text raises
        log(f"{type(error).__name__} (its text cannot be shown)\n")
    return failed(error)


def failed(error: BaseException) -> Outcome:
    """Return the failed outcome for an exception."""
    return Outcome(
        kind="failed", error=ErrorRef(family=family_of(error), type=type(error).__name__, message=message_of(error))
    )


def message_of(error: BaseException) -> str:
    """Return what an exception says, in one line of bounded length."""
    if isinstance(error, SystemExit):
        return f"the function called sys.exit({error.code!r})"[:_MESSAGE_LIMIT]
    try:
        text = one_line(error)
    except Exception:  # noqa: BLE001 - an exception whose text raises
        text = ""
    return (text or type(error).__name__)[:_MESSAGE_LIMIT]


def takes_ctx(fn: Callable[..., object]) -> bool:
    """Tell whether the function has a parameter named `ctx`."""
    if getattr(fn, "__closure__", None) is not None:
        # Made anew for each run, as a flow is: to remember it would keep all that it holds.
        return _takes_ctx.__wrapped__(fn)
    try:
        return _takes_ctx(fn)
    except TypeError:  # not hashable
        return _takes_ctx.__wrapped__(fn)


@lru_cache(maxsize=1024)
def _takes_ctx(fn: Callable[..., object]) -> bool:
    return "ctx" in _parameters(fn)


def _parameters(fn: Callable[..., object]) -> list[str]:
    try:
        return list(inspect.signature(fn).parameters)
    except (TypeError, ValueError):  # a function in C that does not tell
        return []
