"""Packs a production for publishing: title, description, tags, credits and files, in one metadata.json."""

from collections.abc import Iterator, Mapping
from typing import Any

from overnight import ActContext
from overnight.base.errors import NotMeasured
from overnight.base.files import write_json

Json = dict[str, Any]
METADATA = "metadata.json"
MOST_TAGS, MOST_CREATORS = 15, 3


class Packager:
    """Acts, and does not learn: what it writes is what the agents before it have answered."""

    def act(self, item: Json, ctx: ActContext) -> Json:
        """Write metadata.json, and return it with its path.

        Raises:
            NotMeasured: no video was made, so there is nothing to publish.
        """
        video = item.get("video_maker", {})
        if not video.get("path"):
            raise NotMeasured("no video was made: there is nothing to publish")
        metadata = {
            "title": item["title"],
            "description": "\n".join(_description(item, video)),
            "tags": _tags(item),
            "video": video["path"],
            "captions": video.get("captions", []),
            "thumbnails": video.get("thumbnails", []),
            "duration_s": video["measured"]["duration_s"],
            "made_by": video["made_by"],
            "creators": item.get("influencer_matcher", {}).get("ranked", [])[:MOST_CREATORS],
            "distribution": {
                "box_office": item.get("distribution_metadata", {}).get("label"),
                "score_among_its_year": item.get("master_distributor", {}).get("prediction"),
                "talk_score_among_its_year": item.get("trend_detective", {}).get("prediction"),
            },
        }
        write_json(ctx.folder / METADATA, metadata)
        return {"path": str(ctx.folder / METADATA), **metadata}


def _description(item: Mapping[str, Any], video: Mapping[str, Any]) -> Iterator[str]:
    genre, year = item.get("genre"), item.get("year")
    yield ", ".join(str(one) for one in (item["title"], genre, year) if one)
    rating = item.get("video_concept", {}).get("expected_rating")
    if rating is not None:
        yield f"Critics are expected to give it {rating:.1f} of 10."
    music = video.get("music") or {}
    if music.get("tune"):
        yield f"Music: {music['tune']} (Ryan's Mammoth Collection, 1883){_by(music.get('encoder'))}"


def _by(encoder: str | None) -> str:
    return f"; notation: {encoder}" if encoder else ""


def _tags(item: Mapping[str, Any]) -> list[str]:
    words = [*str(item.get("genre", "")).split(", "), item.get("language"), item.get("director")]
    words.append(item.get("sound_designer", {}).get("label"))
    return list(dict.fromkeys(str(word).strip() for word in words if word))[:MOST_TAGS]
