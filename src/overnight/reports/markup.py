"""Parts of reports that are HTML: one page without any script or address. Pure."""

from collections.abc import Sequence
from html import escape

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1c2733; }
h1 { font-size: 1.5rem; margin: 0 0 .2rem } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .3rem .7rem; vertical-align: top }
th { border-bottom: 2px solid #c9d3dc; font-weight: 600 } td { border-bottom: 1px solid #e6ebf0 }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.note { color: #5b6b7a; font-size: .85rem }
.ACCEPT, .success, .trained { color: #11734b } .REJECT, .failed { color: #a3302a }
.UNDERPOWERED, .partial { color: #8a6100 } .charts { display: flex; flex-wrap: wrap; gap: 1rem }
figure { margin: 0; border: 1px solid #e6ebf0; border-radius: .4rem; padding: .5rem } figcaption { font-weight: 600 }
"""


def page(title: str, parts: Sequence[str], *, style: str = "") -> str:
    """Return the page; `parts` are markup, the title is text."""
    head = f'<html lang="en"><head><meta charset="utf-8">\n<title>{escape(title)}</title>'
    return "\n".join(
        ["<!doctype html>", f"{head}<style>{STYLE}{style}</style></head><body>", *parts, "</body></html>\n"]
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: frozenset[int] = frozenset()) -> str:
    """Return a table; the cells are markup, those of the columns `numbers` stand to the right."""

    def line(tag: str, cells: Sequence[str]) -> str:
        made = (f"<{tag}{' class=n' if place in numbers else ''}>{cell}</{tag}>" for place, cell in enumerate(cells))
        return f"<tr>{''.join(made)}</tr>"

    heading = line("th", head) if any(head) else ""
    return f"<table>{heading}{''.join(line('td', row) for row in rows)}</table>"
