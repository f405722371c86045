"""The music of a production: the brief's own opening, and then the tune whose ending fits it best."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from brief import Item, brief_of

from overnight.base.errors import MissingExtra, UserMistake, one_line
from overnight.studio.music import Note

TEMPOS = {"reel": 224, "jig": 174, "hornpipe": 176, "strathspey": 130, "clog": 160}
"""Quarter notes a minute, about as fast as each is danced."""
TEMPO = 180
"""Of what is no dance that is known."""
CORPUS = Path("corpus") / "ryansMammoth"
_FIELD = re.compile(r"(?m)^([A-Za-z]):[ \t]*(.*?)[ \t]*$")
_NAME = re.compile(r"[\w-]+\.abc")


@dataclass(frozen=True, kw_only=True)
class Tune:
    """A tune of the collection: what it is called, who wrote it down for the computer, and its ABC notation."""

    title: str
    encoder: str
    abc: str


@dataclass(frozen=True, kw_only=True)
class Melody:
    """What is played: `notes`, at `tempo` quarter notes a minute, and the tune that the opening goes over into."""

    notes: tuple[Note, ...]
    tempo: int
    tune: Tune | None


def melody(item: Item) -> Melody | None:
    """Return the music of a production; None where the brief has no `opening`, in ABC notation.

    Raises:
        UserMistake: the opening cannot be read, or the brief has no title.
        MissingExtra: music21, which reads the notation, is not installed.
    """
    brief = brief_of(item)
    if "opening" not in brief:
        return None
    tempo = TEMPOS.get(brief["sound_designer"].get("label", ""), TEMPO)
    head = f"X:1\nM:{brief.get('meter', 'C')}\nL:1/8\nK:{brief.get('key', 'C')}\n"
    try:
        notes = list(_read(f"{head}{brief['opening']}\n", tempo))
    except MissingExtra:
        raise
    except Exception as error:
        raise UserMistake(f"brief.opening: cannot be read as ABC notation: {one_line(error)}") from error
    if not notes:
        raise UserMistake(f"brief.opening: {brief['opening']!r} holds no notes in ABC notation")
    named = [str(name) for name in brief["audio_curator"].get("ranked", ())[:1]]
    tune = next((tune for name in named if (tune := tune_of(name))), None)
    if tune is not None:
        notes += _read(tune.abc, tempo)
    return Melody(notes=tuple(notes), tempo=tempo, tune=tune)


def tune_of(name: str) -> Tune | None:
    """Return a tune of the collection by the name of its file; None where there is none."""
    found = find_spec("music21")
    if found is None or found.origin is None or not _NAME.fullmatch(name):
        return None
    try:
        text = (Path(found.origin).parent / CORPUS / name).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields: dict[str, str] = {}
    for letter, value in _FIELD.findall(text):
        fields.setdefault(letter, value)
    return Tune(title=fields.get("T", name.removesuffix(".abc")), encoder=fields.get("Z", ""), abc=text)


def _read(abc: str, tempo: int) -> Iterator[Note]:
    """Yield the notes of a tune, of which grace notes take no time and are left out."""
    try:
        from music21 import converter
    except ImportError:
        raise MissingExtra("the music needs the extra `demo`: pip install 'overnight[demo,studio]'") from None
    for element in converter.parse(abc, format="abc").flatten().notesAndRests:
        seconds = float(element.quarterLength) * 60 / tempo
        if seconds > 0:
            yield Note(hz=None if element.isRest else float(element.pitches[-1].frequency), seconds=seconds)
