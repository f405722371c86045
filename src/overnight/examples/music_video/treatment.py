"""The treatment of a production: what is said and shown, from the brief and from what the agents have answered. Pure.

Whatever an agent has not answered is not spoken of. Figures are those that the agents gave.
"""

import re
import string
from collections.abc import Iterator
from typing import Any

from brief import Item, brief_of, genres
from melody import TEMPOS, Melody

ALONE_S = 4.0
"""How long the music is alone before and after what is said, and when it is spoken of."""
_KIND = re.compile(rf"\s*-+\s*(?:{'|'.join(TEMPOS)})\s*$", re.IGNORECASE)
MOST_FILMS = 3
BEST_RATING = 10


def narration(item: Item, music: Melody | None) -> str:
    """Return the narration, with markers for the voice and cues for what is shown.

    Raises:
        UserMistake: the brief has no title.
    """
    brief = brief_of(item)
    parts = [_begin(brief), *_concept(brief), *_screenplay(brief), *_music(brief, music), _end(brief)]
    return "\n\n".join(parts)


def prompt(item: Item) -> str:
    """Return what a service is asked for: the best prompt that the refiner knows, and what the video is about.

    Raises:
        UserMistake: the brief has no title.
    """
    brief = brief_of(item)
    asked = str(brief["prompt_refiner"].get("text", "")).strip()
    dance = brief["sound_designer"].get("label")
    about = f"A music video for {film(brief)}." + (f" The music is a {dance}." if dance else "")
    return f"{asked} {about}".strip()


def _begin(item: Item) -> str:
    below = ", ".join(item[name] for name in ("genre", "year") if name in item)
    cue = f"[show title: {_safe(item['title'])}{f' | {_safe(below)}' if below else ''}]"
    return f"{cue} [pause {ALONE_S:g}] [enthusiastic] {_safe(film(item))}. [pause 1]"


def film(brief: Item) -> str:
    """Return what it is, in a sentence without its end."""
    genre = " ".join(genres(brief)).lower() or "film"
    said = f"{brief['title']}, {'an' if genre[:1] in 'aeiou' else 'a'} {genre}"
    said += f" of {brief['runtime']:g} minutes" if "runtime" in brief else ""
    said += f" in {brief['language']}" if "language" in brief else ""
    return said + (f", directed by {brief['director']}" if "director" in brief else "")


def _concept(item: Item) -> Iterator[str]:
    rating = item["video_concept"].get("expected_rating")
    if isinstance(rating, int | float):
        yield (
            f"[show diagram: expected of critics = {rating:.1f} ; the best there is = {BEST_RATING}] [explanatory] "
            f"From what is known before anybody has seen it, critics are expected to give it {rating:.1f} "
            f"out of {BEST_RATING}. [pause 1]"
        )


def _screenplay(item: Item) -> Iterator[str]:
    films = [one for one in item["screenplay_generator"].get("exemplars", ()) if one.get("title")][:MOST_FILMS]
    if films:
        rows = " ; ".join(f"{_cell(one['title'])} | {_cell(one.get('director') or '')}" for one in films)
        named = [_safe(one["title"]) for one in films]
        yield (
            f"[show table: films to learn from | director ; {rows}] [explanatory] "
            f"By its names, of the films that were learnt, it stands beside {_listed(named)}. [pause 1]"
        )


def _music(item: Item, music: Melody | None) -> Iterator[str]:
    if music is None:
        return
    dance = _safe(item["sound_designer"].get("label") or "")
    heard = f" From its notes it is heard as a {dance}." if dance else ""
    code = r" \n ".join(line.replace("[", "(").replace("]", ")") for line in item["opening"].splitlines())
    yield f"[show code: abc | {code}] [explanatory] It begins with a tune of its own.{heard} [pause {ALONE_S:g}]"
    if music.tune is not None:
        name = _cell(_plain(music.tune.title))
        played = f" -> a {dance} of {music.tempo} quarter notes a minute" if dance else ""
        yield (
            f"[show diagram: its own opening -> {name}{played}] [explanatory] It goes over into {name}, "
            f"whose ending fits it best of all that were learnt. [pause {ALONE_S:g}]"
        )


def _end(item: Item) -> str:
    by = f" | by {_safe(item['director'])}" if "director" in item else ""
    return f"[show title: {_safe(item['title'])}{by}] [enthusiastic] {_safe(item['title'])}. [pause {ALONE_S:g}]"


def _plain(title: str) -> str:
    """Return a tune's title without its kind of dance, and not in capitals: of "HUMOUR OF GLEN- JIG", say."""
    plain = _KIND.sub("", " ".join(title.split()))
    return string.capwords(plain) if plain.isupper() else plain


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _safe(text: Any) -> str:
    """Return a text that holds no marker and no mark of a cue."""
    return str(text).replace("[", "(").replace("]", ")").replace("|", "/").replace("\n", " ")


def _cell(text: str) -> str:
    return _safe(text).replace(";", ",").replace("->", "-")
