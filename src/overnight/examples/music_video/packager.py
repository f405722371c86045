"""Packs a production for publishing: title, description, tags, credits and files, in one metadata.json."""

from collections.abc import Iterator
from typing import Any

from brief import Item, brief_of, genres
from treatment import BEST_RATING

from overnight import ActContext
from overnight.base.errors import UserMistake
from overnight.base.files import write_json

Json = dict[str, Any]
METADATA = "metadata.json"
MOST_TAGS, MOST_CREATORS = 15, 3


class Packager:
    """Acts, and does not learn: what it writes is what the agents before it have answered."""

    def act(self, item: Json, ctx: ActContext) -> Json:
        """Write metadata.json, and return it with its path.

        Raises:
            UserMistake: no video was made, so there is nothing to publish; or the brief has no title.
        """
        brief = brief_of(item)
        video = brief["video_maker"]
        if not video.get("path"):
            raise UserMistake("no video was made: there is nothing to publish")
        metadata = {
            "title": brief["title"],
            "description": "\n".join(_description(brief, video)),
            "tags": _tags(brief),
            "video": video["path"],
            "captions": video.get("captions", []),
            "thumbnails": video.get("thumbnails", []),
            "duration_s": video["measured"]["duration_s"],
            "made_by": video["made_by"],
            "creators": list(brief["influencer_matcher"].get("ranked", []))[:MOST_CREATORS],
            "distribution": {
                "box_office": brief["distribution_metadata"].get("label"),
                "score_among_its_year": brief["master_distributor"].get("prediction"),
                "talk_score_among_its_year": brief["trend_detective"].get("prediction"),
            },
        }
        write_json(ctx.folder / METADATA, metadata)
        return {"path": str(ctx.folder / METADATA), **metadata}


def _description(brief: Item, video: Item) -> Iterator[str]:
    yield ", ".join(brief[name] for name in ("title", "genre", "year") if name in brief)
    rating = brief["video_concept"].get("expected_rating")
    if isinstance(rating, int | float):
        yield f"Critics are expected to give it {rating:.1f} of {BEST_RATING}."
    music = video.get("music") or {}
    if music.get("tune"):
        yield f"Music: {music['tune']} (Ryan's Mammoth Collection, 1883){_by(music.get('encoder'))}"


def _by(encoder: str | None) -> str:
    return f"; notation: {encoder}" if encoder else ""


def _tags(brief: Item) -> list[str]:
    words = [*genres(brief), brief.get("language"), brief.get("director"), brief["sound_designer"].get("label")]
    return list(dict.fromkeys(str(word).strip() for word in words if word))[:MOST_TAGS]
