"""Themes: the colours and the fonts of slides. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType

from overnight.base.errors import ConfigError, UnknownName
from overnight.studio.slides.colours import ENOUGH, contrast, luma, rgb

BLACK = 0.1
"""A picture that is hardly brighter than this counts as black (`blackdetect` of ffmpeg, `pixel_black_th`)."""

_CODE = MappingProxyType(
    {
        "plain": "#e8edf7",
        "keyword": "#ff9e7a",
        "string": "#a8d68a",
        "comment": "#94a3c0",
        "number": "#f4c978",
        "name": "#8ab8ff",
        "operator": "#9fdbe6",
    }
)


@dataclass(frozen=True, kw_only=True)
class Theme:
    """Colours as "#rrggbb", and font files; an empty name of a font stands for the one of the extra `studio`.

    `text` and `muted` stand upon `background` and `panel`, `accent` and `second` too; `on_accent` upon `accent`,
    `on_second` upon `second`, and the colours of `code` (by the role of a token) upon `code_panel`.
    """

    name: str
    background: str
    panel: str
    line: str
    text: str
    muted: str
    accent: str
    on_accent: str
    second: str
    on_second: str
    code_panel: str
    code: Mapping[str, str] = field(default_factory=lambda: _CODE)
    text_font: str = ""
    code_font: str = ""


MIDNIGHT = Theme(
    name="midnight",
    background="#1a2540",
    panel="#25335a",
    line="#41527f",
    text="#f5f7fc",
    muted="#bcc8e0",
    accent="#ffb84d",
    on_accent="#1a2540",
    second="#6fd0ee",
    on_second="#14203a",
    code_panel="#111a2e",
)
DAYLIGHT = Theme(
    name="daylight",
    background="#faf7f1",
    panel="#ffffff",
    line="#d8d0c1",
    text="#1b2436",
    muted="#525c70",
    accent="#b93f0a",
    on_accent="#ffffff",
    second="#0e5c8a",
    on_second="#ffffff",
    code_panel="#1c2438",
)
_THEMES = {theme.name: theme for theme in (MIDNIGHT, DAYLIGHT)}
_PAIRS = (
    *((colour, behind) for colour in ("text", "muted", "accent", "second") for behind in ("background", "panel")),
    ("on_accent", "accent"),
    ("on_second", "second"),
)


def named(name: str) -> Theme:
    """Return the theme of that name.

    Raises:
        UnknownName: there is none.
    """
    if name not in _THEMES:
        raise UnknownName(f"there is no theme {name!r}; there are {', '.join(sorted(_THEMES))}")
    return _THEMES[name]


def check(theme: Theme) -> None:
    """See to it that everything can be read, and that a slide does not pass for black.

    Raises:
        ConfigError: a colour is none, text has too little contrast, or the background is too dark.
    """
    where = f"theme {theme.name!r}"
    colours = {f.name: getattr(theme, f.name) for f in fields(theme) if f.name not in ("name", "code", *_FONTS)}
    colours |= {f"code.{role}": colour for role, colour in theme.code.items()}
    if missing := sorted(set(_CODE) - set(theme.code)):
        raise ConfigError(f"{where}: code has no colour for {', '.join(missing)}")
    try:
        seen = {name: rgb(colour) for name, colour in colours.items()}
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None
    for name, behind in (*_PAIRS, *((f"code.{role}", "code_panel") for role in theme.code)):
        ratio = contrast(seen[name], seen[behind])
        if ratio < ENOUGH:
            raise ConfigError(f"{where}: {name} upon {behind} has a contrast of {ratio:.1f}; {ENOUGH} is the least")
    if luma(seen["background"]) <= BLACK:
        raise ConfigError(f"{where}: background {theme.background} is so dark that a slide counts as a black picture")


_FONTS = ("text_font", "code_font")
