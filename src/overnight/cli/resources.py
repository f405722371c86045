"""`overnight resources`: how this machine's memory is shared out, once or live."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from overnight.cli import live
from overnight.cli.place import place_of
from overnight.cli.printing import print_json
from overnight.resources.policy import in_gb

if TYPE_CHECKING:
    from overnight.app.machine_memory import MachineMemory, Use

WIDTH = 48


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("resources", epilog="Example: overnight resources --watch")(_resources)


def _resources(
    ctx: typer.Context,
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Show it once a second until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show who uses and waits for memory and GPUs."""
    from overnight.app import machine_memory

    with place_of(ctx).open() as project:
        if as_json:
            print_json(machine_memory.as_json(machine_memory.machine_memory(project)))
            return

        def page() -> Iterator[live.Line]:
            return lines(machine_memory.machine_memory(project), WIDTH)

        if watch:
            live.watch(page)
        else:
            live.show(page())


def lines(found: "MachineMemory", width: int) -> Iterator[live.Line]:
    """Yield what is shown; bars are `width` characters wide and stand for all memory that may be used."""
    limits = found.limits
    used = "not measured" if found.host is None else _gb(found.host.used_bytes)
    yield f"memory     {_gb(limits.capacity_bytes)}, {used} in use, {_gb(limits.reserve_bytes)} kept for the host", None
    yield (
        f"           {_gb(found.free_bytes)} are free for runs that can yield",
        "green" if found.free_bytes else "yellow",
    )
    if found.host is not None and found.host.limited_by is not None:
        yield f"           limited by the control group {found.host.limited_by}", None
    yield "", None
    for heading, uses in (("SERVICES", found.services), ("RUNS", found.running)):
        if uses:
            yield heading, "bold"
            for one in uses:
                yield from _use(one, limits.capacity_bytes, width)
    if found.waiting:
        yield "WAITING", "bold"
        for one in found.waiting:
            yield f"  {one.name:<28} {one.note}", "yellow"
    if not found.running and not found.waiting:
        yield "no run has memory or waits for some", None
    yield from _gpus(found, width)


def _use(one: "Use", capacity: int, width: int, indent: str = "") -> Iterator[live.Line]:
    kept = max(one.reserved_bytes or 0, one.expected_bytes or 0, one.used_bytes or 0)
    told = "not measured" if one.used_bytes is None else _gb(one.used_bytes)
    if one.reserved_bytes is not None:
        reserved = _gb(one.reserved_bytes)
        told = f"{told} of {reserved} reserved" if one.begun else f"{reserved} granted, not begun"
    elif one.expected_bytes is not None and one.expected_bytes > (one.used_bytes or 0):
        told += f", may soon use {_gb(one.expected_bytes)}"
    yield f"  {indent + one.name:<28} {bar(one.used_bytes or 0, kept, capacity, width)}  {told}", None
    if one.note is not None:
        yield f"  {'':<28} {one.note}", "yellow"


def _gpus(found: "MachineMemory", width: int) -> Iterator[live.Line]:
    if found.gpus:
        yield "GPUS", "bold"
    for place, one in enumerate(found.gpus or ()):
        device = one.device
        busy = "" if device.busy_percent is None else f", {device.busy_percent:.0f} % busy"
        told = f"{_gb(device.used_bytes)} of {_gb(device.total_bytes)}{busy}"
        yield f"  {f'{place} {device.name}':<28} {bar(device.used_bytes, 0, device.total_bytes, width)}  {told}", None
        for use in (*one.services, *one.running):
            yield from _use(use, device.total_bytes, width, indent="  ")


def bar(used: int, kept: int, whole: int, width: int) -> str:
    """Return a bar: what is used, what is kept beyond that, and the rest of the whole."""
    full = _cells(used, whole, width)
    more = max(0, _cells(kept, whole, width) - full)
    return "█" * full + "▒" * more + "·" * (width - full - more)


def _cells(part: int, whole: int, width: int) -> int:
    return min(width, round(width * part / whole)) if whole > 0 else 0


def _gb(count: int | None) -> str:
    return "not known" if count is None else in_gb(count)
