"""What a production is to make, as a person wrote it down: read into texts and numbers that can be spoken. Pure."""

import math
from collections.abc import Mapping
from typing import Any

from overnight.base.errors import UserMistake

Item = Mapping[str, Any]  # Any: the brief, and what agents have answered
SERVICES = ("video_service_a", "video_service_b")
AGENTS = (
    *SERVICES,
    "trend_detective",
    "video_concept",
    "screenplay_generator",
    "audio_curator",
    "sound_designer",
    "prompt_refiner",
    "video_maker",
    "influencer_matcher",
    "master_distributor",
    "distribution_metadata",
)
TEXTS = ("genre", "year", "language", "director", "opening", "key", "meter")


def brief_of(item: Item) -> dict[str, Any]:
    """Return the brief with what agents have answered: texts without blanks around them, and {} for who has not.

    A list becomes a text with commas, a number a text; what is empty is left out. `runtime` is a number of minutes.

    Raises:
        UserMistake: it has no title.
    """
    title = _text(item.get("title"))
    if not title:
        raise UserMistake('brief.title: missing; what is the video called? (title = "Neon Rain")')
    texts = {name: text for name in TEXTS if (text := _text(item.get(name)))}
    runtime = _number(item.get("runtime"))
    answers = {name: answer if isinstance(answer := item.get(name), Mapping) else {} for name in AGENTS}
    return {"title": title, **texts, **({} if runtime is None else {"runtime": runtime}), **answers}


def genres(brief: Item) -> list[str]:
    """Return the genres of a brief: "Musical, Drama" are two."""
    return [one.strip() for one in str(brief.get("genre", "")).split(",") if one.strip()]


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(filter(None, map(_text, value)))
    return str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _number(value: Any) -> float | None:
    try:
        number = math.nan if isinstance(value, bool | None) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0 else None
