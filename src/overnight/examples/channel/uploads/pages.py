"""The pages of the local channel, as HTML without anything from elsewhere. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

from video_texts import clock

Json = Mapping[str, Any]  # Any: JSON

STYLE = """\
:root { color-scheme: light dark; --back: #f6f7f9; --card: #fff; --text: #14181f; --soft: #5b6472; --line: #e1e5ea;
  --accent: #1f5fd6; --shade: 0 1px 2px rgb(16 24 40 / 6%), 0 8px 24px rgb(16 24 40 / 8%); }
@media (prefers-color-scheme: dark) { :root { --back: #0e1116; --card: #171b22; --text: #e9edf3; --soft: #9aa5b4;
  --line: #262c36; --accent: #7fb0ff; --shade: none; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
a { color: inherit; text-decoration: none; }
.wrap { max-width: 1180px; margin: 0 auto; padding: 0 20px; }
header { border-bottom: 1px solid var(--line); background: var(--card); }
header .wrap { display: flex; align-items: baseline; gap: 16px; padding-top: 18px; padding-bottom: 18px; }
header strong { font-size: 1.2rem; letter-spacing: -.01em; }
header nav { margin-left: auto; display: flex; gap: 16px; color: var(--soft); font-size: .9rem; }
header nav a:hover, .sources a:hover, .chapters button:hover { color: var(--accent); }
.grid { display: grid; gap: 26px 22px; margin: 32px 0 56px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); }
.card { display: block; background: var(--card); border: 1px solid var(--line); border-radius: 14px; overflow: hidden;
  box-shadow: var(--shade); transition: transform .15s ease, border-color .15s ease; }
.card:hover, .card:focus-visible { transform: translateY(-3px); border-color: var(--accent); outline: none; }
.shot { position: relative; aspect-ratio: 16 / 9; background: #20262f; }
.shot img { width: 100%; height: 100%; object-fit: cover; display: block; }
.shot span { position: absolute; right: 10px; bottom: 10px; padding: 1px 7px; border-radius: 6px; color: #fff;
  background: rgb(0 0 0 / 78%); font-size: .8rem; font-variant-numeric: tabular-nums; }
.card div:last-child { padding: 14px 16px 18px; }
.card h2 { margin: 0 0 4px; font-size: 1.05rem; line-height: 1.35; letter-spacing: -.01em; }
.soft { color: var(--soft); font-size: .88rem; }
.watch { display: grid; gap: 28px; margin: 28px 0 56px; grid-template-columns: minmax(0, 1fr); }
@media (min-width: 980px) { .watch { grid-template-columns: minmax(0, 1fr) 300px; } }
video { width: 100%; aspect-ratio: 16 / 9; border-radius: 14px; background: #000; display: block; }
h1 { margin: 20px 0 4px; font-size: clamp(1.35rem, 3vw, 1.8rem); line-height: 1.25; letter-spacing: -.02em; }
h3 { margin: 26px 0 8px; font-size: .78rem; text-transform: uppercase; letter-spacing: .08em; color: var(--soft); }
.about { max-width: 68ch; }
.chapters, .sources { list-style: none; margin: 0; padding: 0; max-width: 68ch; }
.chapters li, .sources li { border-top: 1px solid var(--line); }
.chapters button, .sources li { width: 100%; padding: 9px 0; font: inherit; text-align: left; }
.chapters button { display: flex; gap: 14px; border: 0; background: none; color: inherit; cursor: pointer; }
.chapters time { color: var(--accent); font-variant-numeric: tabular-nums; min-width: 3.2em; }
.tags { display: flex; flex-wrap: wrap; gap: 8px; margin: 14px 0 0; padding: 0; list-style: none; }
.tags li { padding: 2px 10px; border: 1px solid var(--line); border-radius: 99px; color: var(--soft);
  font-size: .85rem; }
aside { display: grid; gap: 18px; align-content: start; }
aside h3 { margin: 0; }
.empty { padding: 80px 0; text-align: center; color: var(--soft); }
"""
_SEEK = """\
<script>
document.querySelectorAll("[data-at]").forEach((one) => one.addEventListener("click", () => {
  const video = document.querySelector("video");
  video.currentTime = Number(one.dataset.at);
  video.play();
  video.scrollIntoView({ behavior: "smooth", block: "center" });
}));
</script>"""


def front_page(entries: Sequence[Json], name: str) -> str:
    """Return the page that shows all videos, the newest first."""
    cards = "\n".join(_card(entry, "videos/") for entry in entries)
    body = f'<div class="grid">\n{cards}\n</div>' if entries else '<p class="empty">No video yet.</p>'
    return _page(name, name, "", body)


def video_page(entry: Json, others: Sequence[Json], name: str) -> str:
    """Return the page of one video, with some others beside it."""
    track = '<track kind="captions" src="captions.vtt" srclang="en" label="English" default>'
    chapters = "".join(
        f'<li><button type="button" data-at="{float(one["begin_s"]):g}"><time>{clock(one["begin_s"])}</time>'
        f"<span>{escape(one['title'])}</span></button></li>"
        for one in entry["chapters"]
    )
    sources = "".join(f"<li>{_source(one)}</li>" for one in entry["sources"])
    tags = "".join(f"<li>{escape(tag)}</li>" for tag in entry["tags"])
    parts = [
        f'<video controls preload="metadata" poster="thumbnail.png"><source src="video.mp4" type="video/mp4">'
        f"{track if 'captions.vtt' in entry['files'] else ''}</video>",
        f'<h1>{escape(entry["title"])}</h1><p class="soft">{_date(entry)} &middot; {clock(entry["duration_s"])}</p>',
        f'<p class="about">{escape(entry["summary"])}</p>',
        f'<h3>Chapters</h3><ol class="chapters">{chapters}</ol>' if len(entry["chapters"]) > 1 else "",
        f'<h3>Sources</h3><ul class="sources">{sources}</ul>' if sources else "",
        f'<ul class="tags">{tags}</ul>' if tags else "",
    ]
    beside = "\n".join(_card(one, "../") for one in others)
    aside = f"<aside><h3>More videos</h3>\n{beside}\n</aside>" if others else ""
    body = f'<div class="watch"><article>{"".join(parts)}</article>{aside}</div>\n{_SEEK}'
    return _page(f"{entry['title']} \u00b7 {name}", name, "../../", body)


def _page(title: str, name: str, top: str, body: str) -> str:
    return f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<link rel="stylesheet" href="{top}style.css">
<link rel="alternate" type="application/rss+xml" title="{escape(name)}" href="{top}feed.xml">
<link rel="alternate" type="application/feed+json" title="{escape(name)}" href="{top}feed.json">
</head>
<body>
<header><div class="wrap"><a href="{top}index.html"><strong>{escape(name)}</strong></a>
<nav><a href="{top}feed.xml">RSS</a><a href="{top}feed.json">JSON feed</a></nav></div></header>
<main class="wrap">
{body}
</main>
</body>
</html>
"""


def _card(entry: Json, folder: str) -> str:
    place = f"{folder}{escape(entry['video_id'])}"
    picture = f'<img src="{place}/thumbnail.png" alt="" loading="lazy">' if "thumbnail.png" in entry["files"] else ""
    return (
        f'<a class="card" href="{place}/index.html"><div class="shot">{picture}'
        f"<span>{clock(entry['duration_s'])}</span></div><div><h2>{escape(entry['title'])}</h2>"
        f'<span class="soft">{_date(entry)}</span></div></a>'
    )


def _source(one: Json) -> str:
    text = escape(one["text"])
    return f'<a href="{escape(one["url"])}">{text}</a>' if one.get("url") else text


def _date(entry: Json) -> str:
    at = datetime.fromisoformat(entry["published"])
    return f'<time datetime="{escape(entry["published"])}">{at.day} {at:%B %Y}</time>'
