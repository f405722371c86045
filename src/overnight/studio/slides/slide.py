"""What stands on a slide, before anything is known of sizes, fonts and colours. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never


class Kind(StrEnum):
    """How a slide looks, and which fields it uses."""

    TITLE = "title"  # title, text
    BULLETS = "bullets"  # title, bullets
    CODE = "code"  # title, code, language
    TABLE = "table"  # title, rows: the first is the head
    DIAGRAM = "diagram"  # title, nodes, edges
    BARS = "bars"  # title, bars
    CITATION = "citation"  # text: what is quoted; source
    OUTRO = "outro"  # title, bullets, text
    COVER = "cover"  # title, text: to be read on a picture as small as a thumb


@dataclass(frozen=True, kw_only=True)
class Edge:
    """An arrow of a diagram, between two of its nodes."""

    begin: str
    end: str
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A bar of a chart: its length is `value`, and `shown` is how that is written beside it."""

    label: str
    value: float
    shown: str


@dataclass(frozen=True, kw_only=True)
class Slide:
    """A slide. Below all kinds stand the `source` of what is said, and the `footer`: the channel's name, say."""

    kind: Kind
    title: str = ""
    text: str = ""
    bullets: tuple[str, ...] = ()
    code: str = ""
    language: str = ""
    rows: tuple[tuple[str, ...], ...] = ()
    nodes: tuple[str, ...] = ()
    edges: tuple[Edge, ...] = ()
    bars: tuple[Bar, ...] = ()
    source: str = ""
    footer: str = ""


def parts(slide: Slide) -> int:
    """Return how many parts of a slide can appear one after another: bullets, rows below the head, nodes, bars."""
    match slide.kind:
        case Kind.BULLETS | Kind.OUTRO:
            return len(slide.bullets)
        case Kind.TABLE:
            return max(0, len(slide.rows) - 1)
        case Kind.DIAGRAM:
            return len(slide.nodes)
        case Kind.BARS:
            return len(slide.bars)
        case Kind.TITLE | Kind.CODE | Kind.CITATION | Kind.COVER:
            return 0
        case _:
            assert_never(slide.kind)
