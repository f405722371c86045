"""The pages of the local channel, as HTML without anything from elsewhere. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

from channel_files import VIDEO, VTT
from video_texts import clock

Json = Mapping[str, Any]  # Any: JSON
VIDEOS_A_PAGE = 24
IN_FIRST = 5
"""Chapters that stand beside the newest video on the front."""
BESIDE = 4
"""Other videos that stand beside one."""
PICTURE = "thumbnail.png"

STYLE = """\
:root { color-scheme: light dark; --back: #fff; --raised: #f2f4f7; --text: #12161d; --soft: #5b6472; --line: #e3e7ec;
  --accent: #1f5fd6; --on: #fff; --blank: linear-gradient(135deg, #24436f, #14213a); }
@media (prefers-color-scheme: dark) { :root { --back: #0e1116; --raised: #1a1f27; --text: #e9edf3; --soft: #9aa5b4;
  --line: #272d37; --accent: #7fb0ff; --on: #0e1116; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); min-height: 100vh; display: flex;
  flex-direction: column; overflow-wrap: break-word;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
a { color: inherit; text-decoration: none; }
a:focus-visible { outline: 2px solid var(--accent); outline-offset: 3px; border-radius: 6px; }
main { flex: 1; }
.alone { display: grid; align-content: center; }
.wrap { width: 100%; max-width: 1320px; margin: 0 auto; padding: 0 24px; }
header { border-bottom: 1px solid var(--line); background: var(--back); position: sticky; top: 0; z-index: 1; }
header .wrap { display: flex; align-items: center; gap: 20px; min-height: 60px; }
.brand { display: flex; align-items: center; gap: 10px; font-weight: 700; font-size: 1.1rem; letter-spacing: -.01em; }
.brand svg { width: 30px; height: 22px; flex: none; fill: var(--accent); }
.brand path { fill: var(--on); }
header nav { margin-left: auto; display: flex; gap: 18px; color: var(--soft); font-size: .9rem; }
header nav a:hover, .sources a:hover, .chapters a:hover, .steps a:hover strong { color: var(--accent); }
.soft { color: var(--soft); font-size: .9rem; }
.shot { position: relative; display: block; aspect-ratio: 16 / 9; border-radius: 12px; overflow: hidden;
  background: var(--blank); }
.shot img { width: 100%; height: 100%; object-fit: cover; display: block; transition: transform .25s ease; }
a:hover > .shot img { transform: scale(1.03); }
.shot b { position: absolute; inset: 0; display: grid; place-items: center; padding: 8%; color: #fff;
  text-align: center; line-height: 1.3; }
.shot span { position: absolute; right: 8px; bottom: 8px; padding: 0 6px; border-radius: 5px; color: #fff;
  background: rgb(0 0 0 / 80%); font-size: .8rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.first { display: grid; gap: 16px 32px; margin: 28px 0 8px; align-items: center; }
.first h2 { margin: 0 0 6px; font-size: clamp(1.4rem, 3vw, 2rem); line-height: 1.2; letter-spacing: -.02em; }
.first p { margin: 12px 0 0; max-width: 60ch; }
.first em { font-style: normal; font-size: .78rem; font-weight: 700; letter-spacing: .08em; text-transform: uppercase;
  color: var(--accent); }
.first ol { margin-top: 14px; font-size: .92rem; }
.play { display: inline-block; margin-top: 18px; padding: 9px 22px; border-radius: 99px; font-weight: 600;
  background: var(--accent); color: var(--on); }
@media (min-width: 820px) { .first { grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); } }
.grid { display: grid; gap: 32px 20px; margin: 28px 0 44px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 260px), 1fr)); }
.card h2 { margin: 10px 0 2px; font-size: 1rem; line-height: 1.35; font-weight: 600; letter-spacing: -.005em;
  display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden; }
.card:hover h2 { color: var(--accent); }
.pager { display: flex; flex-wrap: wrap; justify-content: center; gap: 8px; margin: 0 0 52px; }
.pager a, .pager span { min-width: 40px; padding: 6px 12px; border-radius: 8px; text-align: center;
  background: var(--raised); font-variant-numeric: tabular-nums; }
.pager .gap { background: none; padding: 6px 0; min-width: 16px; }
.pager [aria-current] { background: var(--accent); color: var(--on); }
.watch { display: grid; gap: 32px; margin: 24px 0 56px; grid-template-columns: minmax(0, 1fr); }
.alone .watch { max-width: 940px; width: 100%; justify-self: center; }
@media (min-width: 1000px) { .beside { grid-template-columns: minmax(0, 1fr) 320px; } }
video { width: 100%; aspect-ratio: 16 / 9; border-radius: 12px; background: #000; display: block; }
h1 { margin: 18px 0 4px; font-size: clamp(1.3rem, 3vw, 1.7rem); line-height: 1.25; letter-spacing: -.02em; }
h3 { margin: 26px 0 8px; font-size: 1rem; }
.about { margin: 18px 0 0; padding: 14px 18px; border-radius: 12px; background: var(--raised);
  white-space: pre-line; }
.chapters, .sources { list-style: none; margin: 0; padding: 0; }
.chapters li, .sources li { border-top: 1px solid var(--line); }
.chapters a { display: flex; gap: 14px; padding: 9px 10px; }
.chapters a[aria-current="true"] { background: var(--raised); font-weight: 600; }
.chapters time { color: var(--accent); font-variant-numeric: tabular-nums; min-width: 3.2em; }
.sources li { padding: 9px 10px; }
.sources a { text-decoration: underline; text-decoration-color: var(--line); text-underline-offset: 3px; }
.tags { display: flex; flex-wrap: wrap; gap: 8px; margin: 22px 0 0; padding: 0; list-style: none; }
.tags li { padding: 2px 12px; border-radius: 99px; background: var(--raised); color: var(--soft); font-size: .85rem; }
.steps { display: grid; gap: 14px; grid-template-columns: 1fr 1fr; margin: 30px 0 0; }
.steps a { padding: 12px 18px; border: 1px solid var(--line); border-radius: 12px; }
.steps a + a, .steps a[rel="next"] { text-align: right; grid-column: 2; }
.steps span, .steps strong { display: block; }
aside { display: grid; gap: 20px; align-content: start;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 220px), 1fr)); }
aside h3 { margin: 0; grid-column: 1 / -1; }
footer { border-top: 1px solid var(--line); color: var(--soft); font-size: .85rem; }
footer .wrap { padding-top: 16px; padding-bottom: 22px; }
.empty { padding: 120px 0; text-align: center; color: var(--soft); }
"""
_ICON = '<rect width="30" height="22" rx="6"/><path d="M12 6l8 5-8 5z"/>'
_TAB = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 30 22'%3E"
    "%3Crect width='30' height='22' rx='6' fill='%231f5fd6'/%3E%3Cpath d='M12 6l8 5-8 5z' fill='%23fff'/%3E%3C/svg%3E"
)
_SEEK = """\
<script>
const video = document.querySelector("video");
const chapters = [...document.querySelectorAll("[data-at]")];
const asked = /^#t=([\\d.]+)$/.exec(location.hash);
if (asked) video.addEventListener("loadedmetadata", () => { video.currentTime = Number(asked[1]); }, { once: true });
chapters.forEach((one) => one.addEventListener("click", (event) => {
  event.preventDefault();
  video.currentTime = Number(one.dataset.at);
  video.play();
  video.scrollIntoView({ behavior: "smooth", block: "center" });
}));
video.addEventListener("timeupdate", () => {
  const now = chapters.filter((one) => Number(one.dataset.at) <= video.currentTime).pop();
  chapters.forEach((one) => one.setAttribute("aria-current", one === now));
});
</script>"""
"""Chapters are links into the file of the video; with scripts they move the player that is on the page, and an address
that ends in #t=61 begins there."""


def front_pages(entries: Sequence[Json], name: str) -> dict[str, str]:
    """Return the pages that show all videos, the newest first, by the names of their files."""
    pages = max(1, -(-len(entries) // VIDEOS_A_PAGE))
    return {page_name(number): _front(entries, number, pages, name) for number in range(1, pages + 1)}


def page_name(number: int) -> str:
    """Return the file of a page of the front, counted from 1."""
    return "index.html" if number == 1 else f"page-{number}.html"


def video_page(entries: Sequence[Json], place: int, name: str) -> str:
    """Return the page of one of the entries, which are the newest first, with those next to it."""
    entry, chapters = entries[place], entries[place]["chapters"]
    sources = "".join(f"<li>{_source(one)}</li>" for one in entry["sources"])
    tags = "".join(f"<li>{escape(tag)}</li>" for tag in entry["tags"])
    parts = [
        _player(entry),
        f'<h1>{escape(entry["title"])}</h1><p class="soft">{_date(entry)} &middot; {clock(entry["duration_s"])}</p>',
        f'<p class="about">{escape(_about(entry))}</p>',
        f'<h3>Chapters</h3><ol class="chapters">{_chapters(chapters, VIDEO)}</ol>' if len(chapters) > 1 else "",
        f'<h3>Sources</h3><ul class="sources">{sources}</ul>' if sources else "",
        f'<ul class="tags">{tags}</ul>' if tags else "",
        _steps(entries, place),
    ]
    beside = "\n".join(_card(one, "../") for one in _beside(entries, place))
    aside = f"<aside><h3>More videos</h3>\n{beside}\n</aside>" if beside else ""
    kind = "watch beside" if aside else "watch"
    body = f'<div class="{kind}"><article>{"".join(parts)}</article>{aside}</div>\n{_SEEK}'
    return _page(f"{entry['title']} \u00b7 {name}", name, "../../", body, alone=not aside)


def _front(entries: Sequence[Json], number: int, pages: int, name: str) -> str:
    shown = list(entries[(number - 1) * VIDEOS_A_PAGE : number * VIDEOS_A_PAGE])
    if not shown:
        return _page(name, name, "", '<p class="empty">No video yet.</p>')
    first = _first(shown.pop(0)) if number == 1 else ""
    cards = "\n".join(_card(entry, "videos/") for entry in shown)
    grid = f'<div class="grid">\n{cards}\n</div>' if cards else ""
    title = name if number == 1 else f"{name} \u00b7 page {number}"
    return _page(title, name, "", f"{first}\n{grid}\n{_pager(number, pages)}", alone=not grid)


def _first(entry: Json) -> str:
    """Return the newest video, larger than the others: so that a page with one video is a page."""
    place = f"videos/{escape(entry['video_id'])}/index.html"
    chapters = entry["chapters"][:IN_FIRST]
    listed = f'<ol class="chapters">{_chapters(chapters, place)}</ol>' if len(chapters) > 1 else ""
    return (
        f'<section class="first"><a href="{place}">{_shot(entry, "videos/")}</a>'
        f'<div><em>Newest</em><h2><a href="{place}">{escape(entry["title"])}</a></h2>'
        f'<span class="soft">{_date(entry)} &middot; {clock(entry["duration_s"])}</span>'
        f'<p>{escape(entry["summary"])}</p>{listed}<a class="play" href="{place}">Watch</a></div></section>'
    )


def _pager(number: int, pages: int) -> str:
    """Return links to the pages at either end and next to this one; nothing where there is one page."""
    if pages == 1:
        return ""
    found, before = [], 0
    for one in sorted({1, *range(max(1, number - 2), min(pages, number + 2) + 1), pages}):
        if one > before + 1:
            found.append('<span class="gap">&hellip;</span>')
        here = f'<span aria-current="page">{one}</span>'
        found.append(here if one == number else f'<a href="{page_name(one)}">{one}</a>')
        before = one
    return f'<nav class="pager" aria-label="Pages">{"".join(found)}</nav>'


def _player(entry: Json) -> str:
    poster = f' poster="{PICTURE}"' if PICTURE in entry["files"] else ""
    track = f'<track kind="captions" src="{VTT}" srclang="en" label="English" default>' if VTT in entry["files"] else ""
    source = f'<source src="{VIDEO}" type="video/mp4">'
    return f'<video controls playsinline preload="metadata"{poster}>{source}{track}</video>'


def _about(entry: Json) -> str:
    """Return the description without the lists of chapters and sources: those stand below it, as links."""
    blocks = str(entry["description"]).split("\n\n")
    return "\n\n".join(one for one in blocks if one.partition("\n")[0] not in ("Chapters", "Sources"))


def _chapters(chapters: Sequence[Json], place: str) -> str:
    """Return chapters as links into a place that takes an instant: the file of the video, or its page."""
    found = []
    for one in chapters:
        at = f"{float(one['begin_s']):g}"
        text = f"<time>{clock(one['begin_s'])}</time><span>{escape(one['title'])}</span>"
        found.append(f'<li><a href="{place}#t={at}" data-at="{at}">{text}</a></li>')
    return "".join(found)


def _steps(entries: Sequence[Json], place: int) -> str:
    """Return the links to the video before and the one after."""
    older = entries[place + 1] if place + 1 < len(entries) else None
    newer = entries[place - 1] if place else None
    found = [
        f'<a rel="{rel}" href="../{escape(one["video_id"])}/index.html"><span class="soft">{word}</span>'
        f"<strong>{escape(one['title'])}</strong></a>"
        for rel, word, one in (("prev", "&larr; Previous", older), ("next", "Next &rarr;", newer))
        if one is not None
    ]
    return f'<nav class="steps" aria-label="Previous and next video">{"".join(found)}</nav>' if found else ""


def _beside(entries: Sequence[Json], place: int) -> list[Json]:
    """Return those before and after: so that a new video changes the pages of the newest ones alone."""
    begin = max(0, min(place - BESIDE // 2, len(entries) - BESIDE - 1))
    return [one for one in entries[begin : begin + BESIDE + 1] if one is not entries[place]]


def _page(title: str, name: str, top: str, body: str, *, alone: bool = False) -> str:
    return f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<link rel="icon" href="{_TAB}">
<link rel="stylesheet" href="{top}style.css">
<link rel="alternate" type="application/rss+xml" title="{escape(name)}" href="{top}feed.xml">
<link rel="alternate" type="application/feed+json" title="{escape(name)}" href="{top}feed.json">
</head>
<body>
<header><div class="wrap"><a class="brand" href="{top}index.html"><svg viewBox="0 0 30 22" aria-hidden="true">{_ICON}\
</svg>{escape(name)}</a>
<nav><a href="{top}feed.xml">RSS</a><a href="{top}feed.json">JSON feed</a></nav></div></header>
<main class="wrap{" alone" if alone else ""}">
{body}
</main>
<footer><div class="wrap">{escape(name)}</div></footer>
</body>
</html>
"""


def _card(entry: Json, folder: str) -> str:
    return (
        f'<a class="card" href="{folder}{escape(entry["video_id"])}/index.html">{_shot(entry, folder)}'
        f'<h2>{escape(entry["title"])}</h2><span class="soft">{_date(entry)}</span></a>'
    )


def _shot(entry: Json, folder: str) -> str:
    """Return the picture of a video with its length; its title where there is no picture."""
    title = f"<b>{escape(entry['title'])}</b>"
    picture = f'<img src="{folder}{escape(entry["video_id"])}/{PICTURE}" alt="" loading="lazy">'
    shown = picture if PICTURE in entry["files"] else title
    return f'<span class="shot">{shown}<span>{clock(entry["duration_s"])}</span></span>'


def _source(one: Json) -> str:
    """Return a source, as a link where its address is one of the web: any other could run something."""
    text, url = escape(one["text"]), str(one.get("url") or "")
    return f'<a href="{escape(url)}">{text}</a>' if url.startswith(("http://", "https://")) else text


def _date(entry: Json) -> str:
    at = datetime.fromisoformat(entry["published"])
    return f'<time datetime="{escape(entry["published"])}">{at.day} {at:%B %Y}</time>'
