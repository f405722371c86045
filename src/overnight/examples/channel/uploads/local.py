"""A folder as a channel: each video with its captions, an RSS and a JSON feed, and pages that any web server can serve.

    index.html  feed.xml  feed.json  style.css
    videos/VIDEO_ID/  index.html  entry.json  video.mp4  captions.vtt  captions.srt  thumbnail.png

An entry is there when its `entry.json` is, which is written last; feeds and pages follow from the entries. So whatever
is done again after a crash makes the same files, and a video is there once.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from overnight.base.files import replace_file, write_json
from uploads import pages

Json = dict[str, Any]  # Any: JSON
ENTRY = "entry.json"
FILES = ("video.mp4", "captions.vtt", "captions.srt")
_MEDIA = "http://search.yahoo.com/mrss/"


def publish(site: Path, entry: Json, files: Mapping[str, Path]) -> None:
    """Put a video into the folder, in the place of an older one of its id; `files` are those that it has, by name."""
    folder = site / "videos" / entry["video_id"]
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in files.items():
        _link(path, folder / name)
    write_json(folder / ENTRY, {**entry, "files": sorted(files), "bytes": files["video.mp4"].stat().st_size})


def write_site(site: Path, *, name: str, address: str) -> int:
    """Write feeds and pages anew from the entries that are there, the newest first, and return how many there are."""
    found = [json.loads(path.read_text()) for path in site.glob(f"videos/*/{ENTRY}")]
    entries = sorted(found, key=lambda one: (one["published"], one["video_id"]), reverse=True)
    replace_file(site / "style.css", pages.STYLE)
    for place, entry in enumerate(entries):
        others = [*entries[place + 1 :], *entries[:place]][:4]
        replace_file(site / "videos" / entry["video_id"] / "index.html", pages.video_page(entry, others, name))
    replace_file(site / "index.html", pages.front_page(entries, name))
    write_json(site / "feed.json", json_feed(entries, name, address))
    replace_file(site / "feed.xml", rss(entries, name, address))
    return len(entries)


def json_feed(entries: list[Json], name: str, address: str) -> Json:
    """Return the entries as a JSON Feed (jsonfeed.org, version 1.1)."""
    return {
        "version": "https://jsonfeed.org/version/1.1",
        "title": name,
        "home_page_url": f"{address}/",
        "feed_url": f"{address}/feed.json",
        "items": [
            {
                "id": entry["video_id"],
                "url": f"{address}/videos/{entry['video_id']}/",
                "title": entry["title"],
                "content_text": entry["description"],
                "date_published": entry["published"],
                "tags": entry["tags"],
                "image": f"{address}/videos/{entry['video_id']}/thumbnail.png",
                "attachments": [
                    {
                        "url": f"{address}/videos/{entry['video_id']}/video.mp4",
                        "mime_type": "video/mp4",
                        "size_in_bytes": entry["bytes"],
                        "duration_in_seconds": entry["duration_s"],
                    }
                ],
            }
            for entry in entries
        ],
    }


def rss(entries: list[Json], name: str, address: str) -> bytes:
    """Return the entries as RSS 2.0 with enclosures and Media RSS."""
    ET.register_namespace("media", _MEDIA)
    root = ET.Element("rss", version="2.0")
    channel = ET.SubElement(root, "channel")
    for tag, text in (("title", name), ("link", f"{address}/"), ("description", f"The videos of {name}.")):
        ET.SubElement(channel, tag).text = text
    for entry in entries:
        _item(channel, entry, f"{address}/videos/{entry['video_id']}")
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _item(channel: ET.Element, entry: Json, place: str) -> None:
    item = ET.SubElement(channel, "item")
    published = format_datetime(datetime.fromisoformat(entry["published"]))
    parts = (("title", entry["title"]), ("link", f"{place}/"), ("description", entry["description"]))
    for tag, text in (*parts, ("pubDate", published)):
        ET.SubElement(item, tag).text = text
    ET.SubElement(item, "guid", isPermaLink="false").text = entry["video_id"]
    for tag in entry["tags"]:
        ET.SubElement(item, "category").text = tag
    size, url = str(entry["bytes"]), f"{place}/video.mp4"
    ET.SubElement(item, "enclosure", url=url, length=size, type="video/mp4")
    about = {"url": url, "fileSize": size, "type": "video/mp4", "duration": str(round(entry["duration_s"]))}
    content = ET.SubElement(item, f"{{{_MEDIA}}}content", about)
    ET.SubElement(content, f"{{{_MEDIA}}}thumbnail", url=f"{place}/thumbnail.png")
    if "captions.vtt" in entry["files"]:
        ET.SubElement(content, f"{{{_MEDIA}}}subTitle", type="text/vtt", href=f"{place}/captions.vtt", lang="en")


def _link(path: Path, to: Path) -> None:
    """Put a file there in one step: as a second name of the same file, which takes no room, or as a copy."""
    folder = tempfile.mkdtemp(dir=to.parent, prefix=f".{to.name}.")
    made = Path(folder) / to.name
    try:
        try:
            os.link(path, made)
        except OSError:  # another disk, or a file system without links
            shutil.copyfile(path, made)
        made.replace(to)
        made.unlink(missing_ok=True)  # where both are names of the same file, nothing was moved
    finally:
        shutil.rmtree(folder, ignore_errors=True)
