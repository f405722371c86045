"""What stands beside a video: titles, descriptions, sources and tags that YouTube takes and that say something."""

import shutil
from importlib import import_module

import pytest

from channel_example import EXAMPLE, Context, approved_video, files

angles = import_module("angles")
curator = import_module("curator")
prose = import_module("prose")
scriptwriter = import_module("scriptwriter")
uploading = import_module("uploading")
video_texts = import_module("video_texts")


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def script(**more):
    told = {
        "title": "Heaps: the idea",
        "hook": "What is next?",
        "intro": "Heaps know.",
        "summary": "In short. A heap knows its smallest item.",
        "cta": "Tell us.",
        "citations": [],
    }
    return told | more


STYLES = ["own", *video_texts.STYLES]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("sign", ["x", "\u00e9", "\u20ac", "\U0001f600"])
def test_a_long_description_is_cut_to_bytes_and_between_characters(style, sign):
    for extra in range(5):
        long = "y" * extra + sign * 8000
        made = video_texts.description(style, script(summary=long, hook=long, intro=long), {})
        assert 4700 < len(made.encode()) <= video_texts.MOST_DESCRIPTION
        assert made.endswith("\u2026")
        assert "\ufffd" not in made
        assert set(made) <= {"y", sign, "\u2026", "\n"}


def test_a_description_that_just_fits_is_whole_and_one_byte_more_cuts_a_word():
    whole = video_texts.description("plain", script(summary="", cta="z" * 4790 + " " + "z" * 9), {})
    assert len(whole) == 4800
    assert whole.endswith(" " + "z" * 9)
    cut = video_texts.description("plain", script(summary="", cta="z" * 4790 + " " + "z" * 10), {})
    assert cut == "z" * 4790 + "\u2026"


@pytest.mark.parametrize("style", STYLES)
def test_no_description_and_no_title_holds_what_youtube_refuses(style):
    angular = script(title="a < b > c", summary="It holds a<b, c>d.", hook="Is a<b?", intro="a>b", cta="x -> y")
    cited = [{"document": "<Trees>", "heading": "When a < b", "text": "x"}]
    chapters = [{"begin_s": 0, "title": "a<b"}, {"begin_s": 9, "title": "b>a"}]
    made = video_texts.description(style, angular | {"citations": cited}, {"chapters": chapters})
    assert not set("<>") & set(made)
    assert "a\u2039b, c\u203ad." in made
    offered = video_texts.variants({"topic": "<Heaps>", "angle": "idea"}, angular, {})
    assert not set("<>") & {sign for one in offered for sign in one["title"]}
    assert offered[0]["title"] == "a \u2039 b \u203a c"


def test_a_description_begins_with_what_is_to_be_known_and_announces_nothing():
    for lead in angles.SUMMARIES:
        made = video_texts.description("plain", script(summary=f"{lead} A heap is a tree. It is full."), {})
        assert made.startswith("A heap is a tree. It is full.\n")
    assert video_texts.description("plain", script(summary="A heap is a tree."), {}).startswith("A heap is a tree.")
    assert angles.points_of("In short.") == ["In short."], "a summary of nothing else stays what it is"


def test_a_document_is_a_source_once_with_the_headings_that_were_used():
    cited = [
        {"document": "Shortest paths", "heading": heading, "text": "x"}
        for heading in ("In short", "Shortest paths", "How it works", "In short", "What it costs", "How it works")
    ]
    cited += [{"document": "Heaps", "heading": "In short", "text": "x", "url": "https://example.org/heaps"}]
    told = script(citations=cited)
    assert video_texts.sources(told) == [
        {"text": "Shortest paths (How it works; What it costs)", "url": None},
        {"text": "Heaps", "url": "https://example.org/heaps"},
    ]
    made = video_texts.description("plain", told, {})
    assert "Sources\n- Shortest paths (How it works; What it costs)\n- Heaps: https://example.org/heaps\n" in made


def test_tags_are_what_somebody_could_look_for():
    cited = [
        {"document": "Shortest paths", "heading": "In short", "text": "x"},
        {"document": "Shortest paths", "heading": "The nearest town and its distance", "text": "x"},
    ]
    words = ["shortest", "paths", "older", "nearest", "distances", "crossings"]
    topic = {"topic": "Shortest paths", "angle": "cost", "research_keywords": words}
    assert video_texts.tags(topic, script(citations=cited)) == [
        "Shortest paths",
        "Shortest paths cost",
        "paths",
        "distances",
    ]
    without = video_texts.tags(topic, script(citations=cited[:1]))
    assert "distances" not in without, "what no heading speaks of is no keyword"


def test_no_more_tags_than_there_is_room_for_and_each_once():
    cited = [{"document": f"Heaps {number}", "heading": "heaps " * 5, "text": "x"} for number in range(90)]
    made = video_texts.tags(
        {"topic": "Heaps", "angle": "idea", "research_keywords": ["HEAPS"]}, script(citations=cited)
    )
    assert sum(len(tag) + 3 for tag in made) <= video_texts.MOST_TAGS
    assert len({tag.lower() for tag in made}) == len(made)
    assert made[:2] == ["Heaps", "Heaps 0"]


@pytest.mark.parametrize("word", ["older", "shorter", "nearest", "Largest", "bigger", "easiest", "rarest", "earlier"])
def test_words_that_only_compare_are_known(word):
    assert prose.compares(word)


@pytest.mark.parametrize("word", ["number", "filters", "buffer", "pointer", "order", "forest", "test", "west", "er"])
def test_words_that_only_end_alike_are_kept(word):
    assert not prose.compares(word)


def test_the_texts_of_a_script_of_the_example_name_its_document_once_and_what_it_is_about():
    shutil.copytree(EXAMPLE / "knowledge", "knowledge")
    shutil.copy(EXAMPLE / "CHANNEL_STYLE_GUIDE.md", ".")
    video_id = curator.curator(Context(), topic="shortest paths", angle="cost")["video_id"]
    scriptwriter.scriptwriter(Context(), video_id)
    files.write(video_id, files.ASSEMBLY, {"duration_s": 150.0})
    told = uploading.texts(video_id, [])
    assert told["description"].count("- Shortest paths (") == 1
    assert "In short" not in told["description"]
    assert not told["description"].startswith(tuple(angles.SUMMARIES))
    assert told["tags"][:3] == ["Shortest paths", "Shortest paths cost", "paths"]
    assert not any(prose.compares(tag) for tag in told["tags"])


def test_the_pages_of_the_folder_say_what_a_video_sums_up_without_the_announcement():
    video_id = approved_video()
    summed = {**files.read(video_id, files.SCRIPT), "summary": "Let us sum up. A good hash spreads keys."}
    files.write(video_id, files.SCRIPT, summed)
    uploading.uploading(Context())
    page = (files.FOLDER.parent / "published" / "videos" / video_id / "index.html").read_text()
    assert "A good hash spreads keys." in page and "Let us sum up" not in page
