"""A folder as a channel: each video with its captions, an RSS and a JSON feed, and pages that any web server can serve.

    index.html  page-2.html ...  feed.xml  feed.json  style.css
    videos/VIDEO_ID/  index.html  entry.json  video.mp4  captions.vtt  captions.srt  thumbnail.png

An entry is there when its `entry.json` is, which is written last; feeds and pages follow from the entries, and are
written where they differ from what is there. So whatever is done again after a crash makes the same files, and a video
is there once.
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

from channel_files import SRT, VIDEO, VTT

from overnight.base.errors import PermanentError, said_by
from overnight.base.files import replace_file, write_json
from uploads import pages

Json = dict[str, Any]  # Any: JSON
ENTRY = "entry.json"
FILES = (VIDEO, VTT, SRT)
IN_FEEDS = 50
"""The newest videos, which feeds hold: readers ask for all of a feed each time, and remember what they have seen."""
_MEDIA = "http://search.yahoo.com/mrss/"


def publish(site: Path, entry: Json, files: Mapping[str, Path]) -> None:
    """Put a video into the folder, in the place of an older one of its id; `files` are those that it has, by name.

    What an older one has and this one has not any more stays: a video that was removed to make room is still there.
    """
    folder = site / "videos" / entry["video_id"]
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in files.items():
        _link(path, folder / name)
    there = sorted(name for name in (*FILES, pages.PICTURE) if (folder / name).is_file())
    write_json(folder / ENTRY, {**entry, "files": there, "bytes": (folder / VIDEO).stat().st_size})


def write_site(site: Path, *, name: str, address: str) -> dict[str, str]:
    """Make feeds and pages those of the entries that are there, the newest first.

    An entry that is damaged is left out; what is wrong is returned by the video's id.
    """
    entries, problems = _entries(site)
    _put(site / "style.css", pages.STYLE)
    for place, entry in enumerate(entries):
        _put(site / "videos" / entry["video_id"] / "index.html", pages.video_page(entries, place, name))
    fronts = pages.front_pages(entries, name)
    for file, text in fronts.items():
        _put(site / file, text)
    for path in site.glob("page-*.html"):
        if path.name not in fronts:
            path.unlink()
    newest = entries[:IN_FEEDS]
    _put(site / "feed.json", json.dumps(json_feed(newest, name, address), indent=2, ensure_ascii=False) + "\n")
    _put(site / "feed.xml", rss(newest, name, address))
    return problems


def _entries(site: Path) -> tuple[list[Json], dict[str, str]]:
    """Return the entries, the newest first, and what is wrong with those that cannot be read, by the video's id."""
    entries, problems = [], {}
    for path in sorted(site.glob(f"videos/*/{ENTRY}")):
        try:
            entries.append(_entry(path))
        except PermanentError as error:
            problems[path.parent.name] = str(error)
    return sorted(entries, key=lambda one: (one["published"], one["video_id"]), reverse=True), problems


def _entry(path: Path) -> Json:
    """Return an entry of which pages and feeds can be made, which is tried.

    Raises:
        PermanentError: it is damaged.
    """
    try:
        found: Json = json.loads(path.read_text(encoding="utf-8"))
        if found["video_id"] != path.parent.name:
            raise ValueError(f"video_id is {found['video_id']!r}")
        pages.front_pages([found], ""), pages.video_page([found], 0, ""), rss([found], "", "")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        again = f"remove upload.json of the video {path.parent.name} to have it put there again"
        raise PermanentError(f"{path}: is damaged: {said_by(error)}; {again}") from None
    return found


def _put(path: Path, content: str | bytes) -> None:
    """Replace a file in one step, where it is not the same already: most are, and each write waits for the disk."""
    data = content.encode() if isinstance(content, str) else content
    try:
        if path.read_bytes() == data:
            return
    except FileNotFoundError:
        pass
    replace_file(path, data)


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
                **_image(entry, address),
                "attachments": [
                    {
                        "url": f"{address}/videos/{entry['video_id']}/{VIDEO}",
                        "mime_type": "video/mp4",
                        "size_in_bytes": entry["bytes"],
                        "duration_in_seconds": entry["duration_s"],
                    }
                ],
            }
            for entry in entries
        ],
    }


def _image(entry: Json, address: str) -> Json:
    return {"image": f"{address}/videos/{entry['video_id']}/{pages.PICTURE}"} if pages.PICTURE in entry["files"] else {}


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
    size, url = str(entry["bytes"]), f"{place}/{VIDEO}"
    ET.SubElement(item, "enclosure", url=url, length=size, type="video/mp4")
    about = {"url": url, "fileSize": size, "type": "video/mp4", "duration": str(round(entry["duration_s"]))}
    content = ET.SubElement(item, f"{{{_MEDIA}}}content", about)
    if pages.PICTURE in entry["files"]:
        ET.SubElement(content, f"{{{_MEDIA}}}thumbnail", url=f"{place}/{pages.PICTURE}")
    if VTT in entry["files"]:
        ET.SubElement(content, f"{{{_MEDIA}}}subTitle", type="text/vtt", href=f"{place}/{VTT}", lang="en")


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
