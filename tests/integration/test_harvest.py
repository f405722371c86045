"""Harvesting: fresh, not modified, cache or missing; what fails costs its own line and nothing that was there."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest

from overnight.app import records
from overnight.app.project import Project
from overnight.base.errors import ConfigError, UserMistake
from overnight.data import store
from overnight.data.export import export
from overnight.testing.chaos import wait_until
from overnight.testing.clock import FakeClock
from web_server import answers, answers_json, hangs, unless_known

RULES = "[categories.songs]\nthreshold = 0\nminimum = 2\n"
DAY_S = 24 * 3600


def item(name, **cells):
    return {"id": name, "title": f"Song {name}", **cells}


@pytest.fixture
def open_project(tmp_path):
    opened = []

    def start(config, clock=None):
        (tmp_path / "overnight.toml").write_text(config)
        for project in opened:
            project.close()
        opened.append(Project.open(tmp_path, clock=clock))
        return opened[-1]

    yield start
    for project in opened:
        project.close()


def web_source(server, path="/songs", more=""):
    return (
        f'[sources.charts]\nkind = "json"\ncategory = "songs"\nurl = "{server.url(path)}"\nmax_retries = 0\n'
        f"per_second = 1000\ntimeout_s = 5\n{more}\n{RULES}"
    )


def csv_source(more=""):
    return f'[sources.list]\nkind = "csv"\ncategory = "songs"\npath = "songs.csv"\n{more}\n{RULES}'


def standings(harvest):
    return [(visit.source, visit.region, str(visit.standing.status), visit.count) for visit in harvest.visits]


def kept(project, harvest):
    return [record["id"] for record in records.records(project, harvest.snapshot)]


def test_a_file_is_fresh_then_not_modified_then_fresh_again(open_project, tmp_path):
    file = tmp_path / "songs.csv"
    file.write_text("id,title,plays\n1,One,10\n2,Two,20\n3,,30\n4,Four\n")
    clock = FakeClock()
    project = open_project(csv_source(), clock)
    first = project.harvest("songs")
    assert standings(first) == [("list", "", "fresh", 3)]
    assert first.snapshot.statistics["set_aside"] == {"reading": 1, "format": 1}
    found = records.records(project, first.snapshot)
    assert [(record["id"], record["title"], record["metadata"]) for record in found] == [
        ("1", "One", {"plays": 10}),
        ("2", "Two", {"plays": 20}),
    ]
    again = project.harvest("songs")
    assert standings(again) == [("list", "", "not modified", 3)]
    assert again.snapshot.snapshot_id == first.snapshot.snapshot_id
    clock.advance(60)
    file.write_text("id,title,plays\n1,One,11\n2,Two,20\n")
    changed = project.harvest("songs")
    assert standings(changed) == [("list", "", "fresh", 2)]
    difference = records.difference(found, records.records(project, changed.snapshot))
    assert (difference.added, difference.removed) == ([], [])
    assert difference.changed == {"1": ["metadata.plays"]}


def test_titles_and_ids_that_look_like_numbers_stay_as_they_stand(open_project, tmp_path):
    (tmp_path / "songs.csv").write_text("id,title,plays,year\n007,1.50,3,1999\n008,1984.0,4,2000\n")
    project = open_project(csv_source())
    found = records.records(project, project.harvest("songs").snapshot)
    assert [(record["id"], record["title"]) for record in found] == [("007", "1.50"), ("008", "1984.0")]
    assert [record["metadata"] for record in found] == [{"plays": 3, "year": 1999}, {"plays": 4, "year": 2000}]


def test_a_mapping_that_changes_needs_no_new_answer(open_project, server):
    server.routes["/songs"] = unless_known(answers_json([item("a", n=5), item("b", n=6)], ETag='"1"'), etag='"1"')
    project = open_project(web_source(server))
    project.harvest("songs")
    project = open_project(web_source(server, more='fields = {id = "id", title = "title", views = "n"}'))
    again = project.harvest("songs")
    assert standings(again) == [("charts", "", "not modified", 2)]
    assert {record["engagement"]["views"] for record in records.records(project, again.snapshot)} == {5, 6}


def test_a_server_that_fails_is_stood_in_for_for_thirty_days_and_then_said_to_be_missing(open_project, server):
    clock = FakeClock()
    server.routes["/songs"] = answers_json([item("a"), item("b")])
    project = open_project(web_source(server), clock)
    fresh = project.harvest("songs")
    assert (standings(fresh), fresh.stale) == ([("charts", "", "fresh", 2)], False)
    server.routes["/songs"] = answers(status=500)
    clock.advance(3600)
    hour = project.harvest("songs")
    assert standings(hour) == [("charts", "", "cache", 2)]
    assert (hour.visits[0].standing.age_s, hour.stale) == (3600, False)
    assert "500" in hour.visits[0].error
    assert hour.snapshot.snapshot_id == fresh.snapshot.snapshot_id
    clock.advance(DAY_S)
    assert project.harvest("songs").stale
    [line] = [one for one in records.status(project) if one.category == "songs"]
    assert any("25 h old" in remark for remark in line.remarks)
    clock.advance(30 * DAY_S)
    gone = project.harvest("songs")
    assert (standings(gone), gone.snapshot, gone.stale) == ([("charts", "", "missing", 0)], None, True)
    with project.database.read() as connection:
        assert store.newest(connection, "songs").snapshot_id == fresh.snapshot.snapshot_id, "nothing was lost"
        assert store.cached(connection, "charts", "") == []


def test_force_asks_for_all_and_takes_nothing_older(open_project, server):
    server.routes["/songs"] = unless_known(answers_json([item("a"), item("b")], ETag='"1"'), etag='"1"')
    project = open_project(web_source(server))
    project.harvest("songs")
    assert standings(project.harvest("songs"))[0][2] == "not modified"
    assert standings(project.harvest("songs", force=True)) == [("charts", "", "not modified", 2)]
    assert [asked.headers.get("if-none-match") for asked in server.asked] == [None, '"1"', None]
    server.routes["/songs"] = answers(status=503)
    assert standings(project.harvest("songs", force=True)) == [("charts", "", "missing", 0)]
    assert standings(project.harvest("songs")) == [("charts", "", "cache", 2)], "what is kept was not thrown away"


def test_each_region_is_asked_by_itself_and_fails_by_itself(open_project, server):
    server.routes["/DE"] = answers_json([item("a", n=1), item("b", n=1)])
    server.routes["/FR"] = answers(status=404)
    config = web_source(server, path="/{region}", more='regions = ["DE", "FR"]')
    project = open_project(config)
    harvest = project.harvest("songs")
    assert standings(harvest) == [("charts", "DE", "fresh", 2), ("charts", "FR", "missing", 0)]
    assert harvest.stale
    assert {record["region"] for record in records.records(project, harvest.snapshot)} == {"DE"}
    assert "404" in harvest.visits[1].error


def test_a_page_that_fails_in_the_middle_changes_nothing(open_project, server):
    def page(number, next_=None):
        return answers_json({"items": [item(f"{number}{letter}") for letter in "ab"], "next": next_})

    server.routes["/1"], server.routes["/2"] = page(1, "/2"), page(2)
    project = open_project(web_source(server, path="/1", more='records = "items"\nnext = "next"'))
    first = project.harvest("songs")
    assert kept(project, first) == ["1a", "1b", "2a", "2b"]
    server.routes["/1"] = page(9, "/2")
    server.routes["/2"] = answers(status=500)
    half = project.harvest("songs")
    assert standings(half) == [("charts", "", "cache", 4)]
    assert kept(project, half) == ["1a", "1b", "2a", "2b"]


def test_who_interrupts_a_harvest_does_not_wait_for_a_server_and_changes_nothing(server, tmp_path):
    server.routes["/songs"] = hangs
    (tmp_path / "overnight.toml").write_text(web_source(server).replace("timeout_s = 5", "timeout_s = 300"))
    command = [sys.executable, "-m", "overnight", "--project", str(tmp_path), "data", "harvest"]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: bool(server.asked) or child.poll() is not None, "the request")
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=30)
    assert child.returncode == 130
    assert said == "interrupted; what was there before of songs is unchanged; the same command asks again\n"
    with Project.open(tmp_path) as project, project.database.read() as connection:
        assert store.visits(connection, "songs", limit=1) == []


def test_a_restored_project_has_no_cache_and_says_missing(open_project, server, tmp_path):
    server.routes["/songs"] = answers_json([item("a"), item("b")])
    project = open_project(web_source(server))
    project.harvest("songs")
    for blob in (tmp_path / ".overnight" / "data" / "cache").rglob("*"):
        if blob.is_file():
            blob.unlink()
    server.routes["/songs"] = answers(status=500)
    assert standings(project.harvest("songs")) == [("charts", "", "missing", 0)]


def test_a_cache_that_is_gone_is_filled_again_though_the_source_says_that_nothing_changed(
    open_project, server, tmp_path
):
    server.routes["/songs"] = unless_known(answers_json([item("a"), item("b")], ETag='"1"'), etag='"1"')
    (tmp_path / "songs.csv").write_text("id,title\n1,One\n")
    project = open_project(web_source(server) + csv_source().replace(RULES, ""))
    first = project.harvest("songs")
    for blob in (tmp_path / ".overnight" / "data" / "cache").rglob("*"):
        if blob.is_file():
            blob.unlink()
    again = project.harvest("songs")
    assert standings(again) == [("charts", "", "not modified", 2), ("list", "", "not modified", 1)]
    assert again.snapshot.snapshot_id == first.snapshot.snapshot_id
    server.routes["/songs"] = answers(status=500)
    assert standings(project.harvest("songs"))[0] == ("charts", "", "cache", 2)


def test_two_harvests_of_one_category_at_once_both_succeed(database_url, server, tmp_path):
    server.routes["/songs"] = answers_json([item("a"), item("b")])
    (tmp_path / "overnight.toml").write_text(web_source(server))
    with ExitStack() as stack:
        overrides = {"engine.database": database_url}
        projects = [stack.enter_context(Project.open(tmp_path, overrides=overrides)) for _ in range(2)]

        def harvest(project):
            return [project.harvest("songs").records for _ in range(8)]

        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(harvest, projects)) == [[2] * 8, [2] * 8]
        with projects[0].database.read() as connection:
            assert len(store.cached(connection, "charts", "")) == 1


def test_what_one_row_holds_never_costs_the_others(open_project, server):
    rows = [
        item("good", followers=10),
        item("large", followers=10**400),
        item("odd", tags=3),
        {**item("half"), "title": "half \ud800"},
        {**item("many"), "views": 10**400},
    ]
    server.routes["/songs"] = answers_json(rows)
    fields = (
        'fields = {id = "id", title = "title", views = "views", followers = "followers", n = "length(tags || `[]`)"}'
    )
    project = open_project(web_source(server, more=fields))
    harvest = project.harvest("songs")
    assert kept(project, harvest) == ["good"]
    assert harvest.snapshot.statistics["original"] == 5


def test_the_explained_quality_is_the_stored_one_for_every_record(open_project, server):
    rows = [item(f"r{n}", views=10**n, likes=n, published_at=f"2026-11-{n + 1:02}") for n in range(9)] + [item("none")]
    server.routes["/songs"] = answers_json(rows)
    project = open_project(
        web_source(server).replace('"songs"', '"trend"').replace("categories.songs", "categories.trend")
    )
    snapshot = project.harvest("trend").snapshot
    lines = [*records.records(project, snapshot), *(line["record"] for line in records.rejected(project, snapshot))]
    assert len(lines) == 10
    for record in lines:
        quality = records.explain(project, records.find_record(project, record["id"], "trend")).quality
        assert record["quality_score"] == pytest.approx(quality, abs=1e-4)


def test_records_are_listed_in_the_order_of_their_rank(open_project, server):
    rows = [
        item("b", published_at="1970-01-01"),
        item("a", published_at="2024-01-01"),
        item("c", published_at="2020-01-01"),
    ]
    server.routes["/songs"] = answers_json(rows)
    project = open_project(web_source(server))
    assert kept(project, project.harvest("songs")) == ["a", "c", "b"]


def test_a_category_that_nobody_harvested_for_days_is_said_to_be_old(open_project, server):
    clock = FakeClock()
    server.routes["/songs"] = answers_json([item("a"), item("b")])
    project = open_project(web_source(server), clock)
    project.harvest("songs")
    clock.advance(5 * DAY_S)
    [line] = records.status(project)
    assert "charts: what it gave is 120 h old" in line.remarks


def test_other_settings_make_another_page(open_project, tmp_path):
    (tmp_path / "songs.csv").write_text("id,title\n1,One\n")
    (tmp_path / "other.csv").write_text("id,title\n2,Two\n")
    open_project(csv_source()).harvest("songs")
    project = open_project(csv_source().replace("songs.csv", "other.csv"))
    (tmp_path / "other.csv").unlink()
    assert standings(project.harvest("songs")) == [("list", "", "missing", 0)]


def test_old_blobs_leave_the_cache(open_project, tmp_path):
    project = open_project(csv_source())
    cache = tmp_path / ".overnight" / "data" / "cache"
    for number in range(3):
        (tmp_path / "songs.csv").write_text(f"id,title\n{number},One\n")
        project.harvest("songs")
        for blob in cache.rglob("*"):
            os.utime(blob, (0, 0))
    project.harvest("songs")
    assert len([path for path in cache.rglob("*") if path.is_file()]) == 1


def test_recency_counts_from_the_set_instant_or_from_the_file(open_project, tmp_path):
    file = tmp_path / "songs.csv"
    file.write_text("id,title,views,published_at\n1,One,1000000,2020-01-01\n2,Two,1000000,2020-01-02\n")
    os.utime(file, (1_577_923_200, 1_577_923_200))  # 2020-01-02
    trend = 'category = "trend"\n'
    config = f'[sources.list]\nkind = "csv"\npath = "songs.csv"\n{trend}[categories.trend]\nminimum = 0\n'
    by_file = open_project(config).harvest("trend")
    assert by_file.snapshot.facts["list"]["as_of"] == {"": "2020-01-02T00:00:00+00:00"}
    assert by_file.records == 2
    set_to = open_project(config.replace(trend, f'{trend}as_of = "2021-01-01"\n')).harvest("trend")
    assert set_to.snapshot.facts["list"]["as_of"] == {"": "2021-01-01T00:00:00+00:00"}
    assert set_to.records == 0


def test_a_wrong_instant_is_one_line_before_anything_is_asked(open_project):
    with pytest.raises(ConfigError, match=r"sources\.list\.as_of: 'someday' is no instant"):
        open_project(csv_source('as_of = "someday"'))


def test_a_projects_own_scorer_decides_and_explains(open_project, tmp_path):
    (tmp_path / "scores.py").write_text(
        "def score(record, as_of):\n    return {'plays': (min(4, record['metadata']['plays']), 4), 'age': None}\n"
    )
    (tmp_path / "songs.csv").write_text("id,title,plays\n1,One,1\n2,Two,4\n")
    project = open_project(csv_source().replace("threshold = 0", 'threshold = 5\nscorer = "scores:score"'))
    harvest = project.harvest("songs")
    assert kept(project, harvest) == ["2"]
    known = records.find_record(project, "1", None)
    assert (known.stage, known.reason) == ("quality", "quality 2.50 is below 5")
    quality = records.explain(project, known)
    assert (quality.quality, [part.name for part in quality.parts]) == (2.5, ["plays", "age"])
    project = open_project(csv_source().replace("threshold = 0", 'scorer = "scores:nowhere"'))
    with pytest.raises(ConfigError, match=r"categories\.songs\.scorer: there is no function 'scores:nowhere'"):
        project.harvest("songs")


def test_snapshots_and_records_are_found_by_name_and_by_digits(open_project, tmp_path):
    (tmp_path / "songs.csv").write_text("id,title\n1,One\n2,Two\n")
    project = open_project(csv_source())
    with pytest.raises(UserMistake, match="was never harvested"):
        records.find_snapshot(project, "songs")
    made = project.harvest("songs").snapshot
    assert records.find_snapshot(project, "songs") == made
    assert records.find_snapshot(project, made.snapshot_id[:6]) == made
    for wrong in ("nowhere", made.snapshot_id[:5], "zzzzzz", ""):
        with pytest.raises(UserMistake, match="there is no snapshot and no category"):
            records.find_snapshot(project, wrong)


def test_records_go_into_files_of_three_kinds(open_project, tmp_path):
    duckdb = pytest.importorskip("duckdb")
    (tmp_path / "songs.csv").write_text('id,title,plays,note\n1,"One, and more",10,\n2,Zwölf,20,"a\nb"\n')
    project = open_project(csv_source())
    found = records.records(project, project.harvest("songs").snapshot)
    for name in ("out.jsonl", "out.csv", "out.parquet"):
        export(found, tmp_path / name)
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == found
    with duckdb.connect() as connection:
        for name in ("out.csv", "out.parquet"):
            rows = connection.execute(f"SELECT id, title, plays, note FROM '{tmp_path / name}' ORDER BY id").fetchall()
            assert [(str(row[0]), *row[1:]) for row in rows] == [
                ("1", "One, and more", 10, None),
                ("2", "Zwölf", 20, "a\nb"),
            ]
    with pytest.raises(UserMistake, match=r"out\.xls: the end of its name must be one of \.jsonl, \.csv, \.parquet"):
        export(found, tmp_path / "out.xls")


def test_the_harvest_log_tells_each_visit(open_project, server):
    clock = FakeClock()
    server.routes["/songs"] = answers_json([item("a"), item("b")])
    project = open_project(web_source(server), clock)
    project.harvest("songs")
    clock.advance(60)
    server.routes["/songs"] = answers(status=500)
    project.harvest("songs")
    with project.database.read() as connection:
        newest, oldest = store.visits(connection, "songs", limit=10)
        assert store.last_visits(connection, "songs") == [newest]
    assert (oldest.to_json()["status"], oldest.error) == ("fresh", None)
    assert (newest.to_json()["status"], newest.count, newest.standing.age_s) == ("cache", 2, 60)
    assert newest.at_us - oldest.at_us == 60_000_000


def test_no_secret_of_an_address_is_stored(open_project, server, tmp_path):
    server.routes["/songs"] = answers_json([item("a"), item("b")])
    url = server.url("/songs").replace("http://", "http://me:hunter2@") + "?api_key=hunter3&page=1"
    config = web_source(server, more='headers = {Authorization = "Bearer hunter4"}').replace(server.url("/songs"), url)
    project = open_project(config)
    assert standings(project.harvest("songs"))[0][2] == "fresh"
    server.routes["/songs"] = answers(status=500)
    harvest = project.harvest("songs")
    project.close()
    stored = b"".join(path.read_bytes() for path in (tmp_path / ".overnight").rglob("*") if path.is_file())
    assert b"hunter" not in stored
    assert "hunter" not in json.dumps(harvest.to_json())


def test_a_category_without_sources_is_answered_with_those_that_there_are(open_project, tmp_path):
    (tmp_path / "songs.csv").write_text("id,title\n1,One\n")
    with pytest.raises(ConfigError, match=r"no source has the category 'films' \(categories: songs\)"):
        open_project(csv_source()).harvest("films")


def test_what_was_harvested_is_stamped_with_the_instant_at_which_it_came(open_project, server):
    clock = FakeClock()
    server.routes["/songs"] = answers_json([item("a"), item("b")])
    project = open_project(web_source(server), clock)
    came = datetime.fromtimestamp(clock.now_us() / 1e6, UTC).isoformat(timespec="seconds")
    project.harvest("songs")
    clock.advance(3600)
    again = project.harvest("songs")
    assert {record["harvested_at"] for record in records.records(project, again.snapshot)} == {came}
