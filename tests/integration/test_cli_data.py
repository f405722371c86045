"""`overnight data` as a person uses it: harvest, look, take apart, compare, export; every mistake is one line."""

import json

import pytest

from overnight.cli import app as cli

CONFIG = """
[sources.songs]
kind = "csv"
category = "audio"
path = "songs.csv"
as_of = "2026-11-26"

[categories.audio]
threshold = 4
minimum = 1
"""
SONGS = """id,title,views,published_at,artist
hit,A hit,1000000,2026-11-25,Somebody
old,An old one,1000000,1999-01-01,Somebody
poor,A poor one,3,1999-01-01,Nobody
odd,An odd one,many,2026-11-25,Nobody
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "overnight.toml").write_text(CONFIG)
    (tmp_path / "songs.csv").write_text(SONGS)
    return tmp_path


@pytest.fixture
def run(folder, capsys):
    def run(*words, code=0):
        assert cli.main(["--project", str(folder), "data", *words]) == code
        said = capsys.readouterr()
        return said.err if code == 2 else said.out

    return run


def test_a_harvest_says_what_was_kept_what_was_set_aside_and_how_each_source_stands(run):
    said = run("harvest")
    assert "audio: 2 of 4 records kept, quality 8.2 to 10.0" in said
    assert "set aside: 1 format, 1 quality (`overnight data list audio --rejected`)" in said
    assert "2 records are few (fewer than 100)" in said
    assert "songs: fresh, 4 rows in" in said
    [harvest] = json.loads(run("harvest", "audio", "--json"))
    assert (harvest["records"], harvest["stale"], harvest["sources"][0]["status"]) == (2, False, "not modified")


def test_a_source_that_is_gone_is_stood_in_for_and_the_age_is_shown(run, folder):
    run("harvest")
    (folder / "songs.csv").unlink()
    said = run("harvest")
    assert "songs: cache (" in said and "there is no file 'songs.csv'" in said
    assert "audio: 2 of 4 records kept" in said
    assert "cache (" in run("status")


def test_a_category_without_records_is_a_failure(run, folder):
    (folder / "songs.csv").unlink()
    said = run("harvest", code=1)
    assert "audio: no source gave anything; what was there before is unchanged" in said
    assert "songs: missing" in said


def test_records_are_listed_shown_and_explained(run):
    run("harvest")
    lines = run("list").splitlines()
    assert lines[0].split() == ["QUALITY", "ID", "PLATFORM", "PUBLISHED", "TITLE"]
    assert [line.split()[1] for line in lines[1:]] == ["hit", "old"]
    shown = run("show", "hit")
    assert "A hit" in shown and "artist" in shown and "10.00/10" in shown
    explained = run("explain", "old")
    assert "quality 8.25 of 10 = 3.300 of 4, x 10 / 4; recency counts from 2026-11-26" in explained
    assert "left out, because source 'songs' has no such field: likes (likes); bpm (bpm)" in explained
    terms = json.loads(run("explain", "old", "--json"))["quality"]["terms"]
    recency = next(term for term in terms if term["term"] == "recency")
    assert (recency["value"], recency["reach"]) == (0.3, 1.0)


def test_what_was_set_aside_says_why_and_can_be_explained(run):
    run("harvest")
    said = run("list", "audio", "--rejected")
    assert "views is not a number: 'many'" in said
    assert "quality 1.35 is below 4" in said
    assert "set aside: quality: quality 1.35 is below 4" in run("explain", "poor")
    assert "set aside: quality" in run("show", "poor")


def test_snapshots_are_listed_compared_and_exported(run, folder):
    run("harvest")
    (folder / "songs.csv").write_text(SONGS.replace("A hit", "A big hit") + "new,A new one,500000,2026-11-24,Else\n")
    run("harvest")
    newest, oldest = json.loads(run("snapshots", "--json"))
    assert run("snapshots").count("audio") == 2
    said = run("diff", oldest["snapshot"][:12], "audio")
    assert "1 added, 0 removed, 1 changed" in said
    assert "+ new" in said and "~ hit: title" in said
    found = json.loads(run("diff", oldest["snapshot"], newest["snapshot"], "--json"))
    assert found["added"] == ["new"]
    run("export", "audio", str(folder / "audio.csv"))
    assert (folder / "audio.csv").read_text().splitlines()[0].startswith("id,title,quality_score,artist,")
    assert "exists already; --force replaces it" in run("export", "audio", str(folder / "audio.csv"), code=2)


def test_status_shows_the_log_of_a_category(run):
    assert "never harvested" in run("status")
    run("harvest")
    assert "log, newest first" in run("status", "audio")
    [status] = json.loads(run("status", "--json"))
    assert status["statistics"]["filtered"] == 2 and status["sources"][0]["source"] == "songs"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("harvest", "audi"), "there is no category 'audi'; did you mean audio?"),
        (("list", "nowhere"), "there is no snapshot and no category 'nowhere'"),
        (("list",), "category 'audio' was never harvested; `overnight data harvest audio` does that"),
        (("show", "x"), "there is no record 'x' in the newest snapshots (categories: none was harvested yet)"),
        (("explain", "x", "--category", "y"), "there is no category 'y'"),
        (("diff", "abcdef", "audio"), "there is no snapshot and no category 'abcdef'"),
        (("export", "audio", "out.xls"), "category 'audio' was never harvested"),
    ],
)
def test_a_mistake_is_one_line(run, words, says):
    said = run(*words, code=2)
    assert says in said
    assert said.count("\n") == 1


def test_a_project_without_sources_is_told_how_to_get_some(run, folder):
    (folder / "overnight.toml").write_text('[project]\nname = "bare"\n')
    assert "add a [sources.NAME] table" in run("harvest", code=2)
    assert "add a [sources.NAME] table" in run("status")
    assert "add a [sources.NAME] table" in run("list", code=2)
    assert "no snapshots yet" in run("snapshots")


def test_a_wrong_source_is_one_line_before_anything_is_asked(run, folder):
    (folder / "overnight.toml").write_text(CONFIG.replace("as_of", 'url = "http://x"\nas_of'))
    said = run("harvest", code=2)
    assert "sources.songs.url: not used by a source of kind 'csv'" in said
    assert said.count("\n") == 1
