"""The pages and feeds of the local channel: what changed is written once, and each video has a page to watch it on."""

import json
import re
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from channel_example import EXAMPLE, Context, approved_video, files

uploading = import_module("uploading")
local = import_module("uploads.local")
pages = import_module("uploads.pages")
SITE = Path(uploading.SITE)


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def written(monkeypatch):
    """The files of the site that are written, in order."""
    found = []
    replace = local.replace_file

    def noted(path, content, **more):
        found.append(str(path.relative_to(SITE)))
        replace(path, content, **more)

    monkeypatch.setattr(local, "replace_file", noted)
    return found


def entries(count, **more):
    return [
        {
            "video_id": f"v{number:04d}",
            "title": f"Video {number}",
            "description": "About it.",
            "summary": "In short.",
            "tags": ["one"],
            "published": f"2026-07-04T12:{number // 60 % 60:02d}:{number % 60:02d}+00:00",
            "duration_s": 150.0,
            "chapters": [],
            "sources": [],
            "files": ["thumbnail.png", "video.mp4"],
            "bytes": 1000,
            **more,
        }
        for number in reversed(range(count))
    ]


def site_of(count, **more):
    """Make a site of many videos by their entries alone."""
    for entry in entries(count, **more):
        path = SITE / "videos" / entry["video_id"] / local.ENTRY
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(entry))
    local.write_site(SITE, name="Plain", address="https://example.org")


def page_of(video_id):
    return (SITE / "videos" / video_id / "index.html").read_text()


# ---- What is written ----


def test_a_new_video_writes_its_page_those_beside_it_and_the_front_once(written):
    site_of(200)
    ids = [approved_video(number) for number in range(3)]
    written.clear()
    uploading.uploading(Context(), name="Plain", address="https://example.org")
    assert len(written) == len(set(written)), "each once, however many videos are new"
    mine = {f"videos/{one}/index.html" for one in ids}
    neighbours = {f"videos/v{number:04d}/index.html" for number in (199, 198, 197)}
    fronts = {pages.page_name(number) for number in range(1, 10)}
    assert mine <= set(written)
    assert set(written) - mine <= neighbours | fronts | {"feed.json", "feed.xml"}


def test_what_has_not_changed_is_not_written_again(written):
    approved_video()
    uploading.uploading(Context())
    written.clear()
    uploading.uploading(Context())
    assert written == []


def test_feeds_hold_the_newest_videos_alone():
    site_of(local.IN_FEEDS + 7)
    ids = [item["id"] for item in json.loads((SITE / "feed.json").read_text())["items"]]
    assert ids == [f"v{number:04d}" for number in reversed(range(7, local.IN_FEEDS + 7))]
    items = ET.parse(SITE / "feed.xml").getroot().findall("channel/item")
    assert [item.findtext("guid") for item in items] == ids


def test_feeds_name_a_picture_only_where_there_is_one():
    site_of(1, files=["video.mp4"])
    assert "image" not in json.loads((SITE / "feed.json").read_text())["items"][0]
    assert "thumbnail" not in (SITE / "feed.xml").read_text()


def test_the_front_has_24_videos_a_page_and_each_video_stands_on_one():
    site_of(60)
    found = [sorted(set(re.findall(r"videos/(v\d+)/", (SITE / name).read_text()))) for name in
             ("index.html", "page-2.html", "page-3.html")]  # fmt: skip
    assert [len(one) for one in found] == [24, 24, 12]
    assert sorted(one for page in found for one in page) == [f"v{number:04d}" for number in range(60)]
    assert not (SITE / "page-4.html").exists()
    assert 'href="page-2.html"' in (SITE / "index.html").read_text()
    assert 'href="index.html">1<' in (SITE / "page-2.html").read_text()


def test_a_page_of_the_front_that_nothing_stands_on_any_more_is_removed():
    site_of(25)
    assert (SITE / "page-2.html").exists()
    (SITE / "videos" / "v0000" / local.ENTRY).unlink()
    local.write_site(SITE, name="Plain", address="https://example.org")
    assert not (SITE / "page-2.html").exists()


def test_of_many_pages_those_at_the_ends_and_next_to_this_one_are_linked():
    front = pages.front_pages(entries(24 * 10), "Plain")["page-5.html"]
    [pager] = re.findall(r'<nav class="pager".*?</nav>', front)
    assert re.findall(r">(\d+|&hellip;)<", pager) == ["1", "&hellip;", "3", "4", "5", "6", "7", "&hellip;", "10"]


def test_a_damaged_entry_is_told_and_all_others_are_on_the_pages():
    ids = [approved_video(number) for number in range(3)]
    uploading.uploading(Context())
    (SITE / "videos" / ids[0] / local.ENTRY).write_text('{"video_id":')
    entry = json.loads((SITE / "videos" / ids[1] / local.ENTRY).read_text())
    (SITE / "videos" / ids[1] / local.ENTRY).write_text(json.dumps({**entry, "chapters": [{"title": 3}] * 2}))
    new = approved_video(3)
    told = uploading.uploading(Context())
    assert told["uploaded"] == [new]
    assert [one["video_id"] for one in told["problems"]] == ids[:2]
    assert "entry.json: is damaged" in told["problems"][0]["why"]
    assert [item["id"] for item in json.loads((SITE / "feed.json").read_text())["items"]] == [new, ids[2]]
    for one in ids[:2]:
        assert f"remove upload.json of the video {one} to have it put there again" in str(told["problems"])
        (files.folder_of(one) / files.UPLOAD).unlink()
    assert uploading.uploading(Context())["problems"] == []
    assert len(json.loads((SITE / "feed.json").read_text())["items"]) == 4


def test_an_entry_that_names_another_folder_writes_nothing_there():
    site_of(1)
    path = SITE / "videos" / "v0000" / local.ENTRY
    path.write_text(json.dumps({**json.loads(path.read_text()), "video_id": "../../elsewhere"}))
    problems = local.write_site(SITE, name="Plain", address="https://example.org")
    assert "video_id is '../../elsewhere'" in problems["v0000"]
    assert not list(SITE.parent.rglob("elsewhere"))


# ---- What they show ----


def test_a_page_has_the_video_its_captions_and_chapters_that_jump():
    approved_video()
    uploading.uploading(Context())
    [page] = [path.read_text() for path in SITE.glob("videos/*/index.html")]
    assert '<source src="video.mp4" type="video/mp4">' in page
    assert '<track kind="captions" src="captions.vtt"' in page
    assert 'poster="thumbnail.png"' in page
    assert '<a href="video.mp4#t=61.5" data-at="61.5"><time>1:01</time><span>What it costs</span></a>' in page


def test_a_description_keeps_its_lines_and_does_not_repeat_chapters_and_sources():
    [entry] = entries(1, description="One\ntwo\n\nChapters\n0:00 A\n1:00 B\n\nSources\n- c\n\nGood bye.")
    page = pages.video_page([entry], 0, "Plain")
    assert '<p class="about">One\ntwo\n\nGood bye.</p>' in page
    assert re.search(r"\.about \{[^}]*white-space: pre-line", pages.STYLE)


def test_a_page_leads_to_the_video_before_it_and_the_one_after():
    site_of(3)
    steps = re.findall(r'rel="(prev|next)" href="../(v\d+)/', page_of("v0001"))
    assert steps == [("prev", "v0000"), ("next", "v0002")]
    assert re.findall(r'rel="(prev|next)" href', page_of("v0000")) == ["next"]
    assert re.findall(r'rel="(prev|next)" href', page_of("v0002")) == ["prev"]


@pytest.mark.parametrize("count", [1, 2, 3, 30])
def test_beside_a_video_stand_the_nearest_others(count):
    site_of(count)
    for number in range(count):
        shown = re.findall(r'class="card" href="../(v\d+)/', page_of(f"v{number:04d}"))
        assert len(shown) == min(pages.BESIDE, count - 1)
        assert f"v{number:04d}" not in shown


def test_a_site_of_one_video_shows_it_large_with_what_is_in_it():
    approved_video()
    uploading.uploading(Context())
    front = (SITE / "index.html").read_text()
    assert '<section class="first">' in front
    assert "A good hash spreads keys over all buckets." in front
    assert re.search(r'href="videos/[\w-]+/index.html#t=61.5"', front)
    assert 'class="grid"' not in front


def test_a_video_without_a_picture_shows_its_title_there():
    front = pages.front_pages(entries(2, files=["video.mp4"]), "Plain")["index.html"]
    assert "<img" not in front
    assert "<b>Video 0</b>" in front


def test_all_text_is_text_and_no_source_can_run_anything():
    bad = "<script>x</script>\"'&"
    sources = [{"text": bad, "url": "javascript:alert(1)"}, {"text": "good", "url": "https://example.org/?a=1&b=2"}]
    chapters = [{"title": bad, "begin_s": 0.0}, {"title": bad, "begin_s": 5.0}]
    texts = {"title": bad, "description": bad, "summary": bad, "tags": [bad]}
    found = entries(3, **texts, chapters=chapters, sources=sources)
    made = [*pages.front_pages(found, bad).values(), *(pages.video_page(found, place, bad) for place in range(3))]
    for page in made:
        assert "<script>x" not in page
        assert "javascript:" not in page
        assert "&lt;script&gt;x&lt;/script&gt;&quot;&#x27;&amp;" in page
    assert 'href="https://example.org/?a=1&amp;b=2"' in made[-1]


def test_pages_take_nothing_from_elsewhere_and_are_dark_where_that_is_wanted():
    found = entries(30)
    for page in (*pages.front_pages(found, "Plain").values(), pages.video_page(found, 3, "Plain")):
        taken = re.findall(r'(?:src|href|poster)="([^"]*)"', page)
        assert taken
        assert not [one for one in taken if "//" in one and not one.startswith("data:")]
    assert "@media (prefers-color-scheme: dark)" in pages.STYLE
    assert not re.search(r"@import|url\(|@font-face", pages.STYLE)


def test_where_data_lies_and_what_a_video_is_called_is_spelt_in_one_place():
    spelt = {
        path.name for path in EXAMPLE.rglob("*.py") if re.search(r'"\.overnight|[\'"]video\.mp4', path.read_text())
    }
    assert spelt == {"channel_files.py"}
