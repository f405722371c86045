"""The uploader: every approved video is where viewers are, once, whatever breaks, and whoever is killed."""

import json
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from channel_example import EXAMPLE, Context, approved_video, files
from overnight.base.errors import ConfigError, PermanentError, TransientError, UserMistake
from youtube_server import YouTubeServer, answers_status, breaks_after, breaks_before, calls_after, calls_before

uploading = import_module("uploading")
quota_module = import_module("uploads.quota")
SECRETS = {
    "YOUTUBE_CLIENT_ID": "client-id",
    "YOUTUBE_CLIENT_SECRET": "client-secret",
    "YOUTUBE_REFRESH_TOKEN": "refresh-secret",
}
STEP = 256 * 1024
TWO_PIECES = STEP + 1000
SITE = Path(uploading.SITE)
CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from uploading import uploading
class Context:
    def progress(self, *_, **__): pass
    def count(self, *_): pass
uploading(Context(), where="youtube", api=sys.argv[2], tokens=sys.argv[2] + "/token", piece_bytes=262144, pause_s=0.0)
"""


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.fixture
def youtube():
    with YouTubeServer() as server:
        yield server


def upload(server, **more):
    options = {"piece_bytes": STEP, "pause_s": 0.0, **more}
    return uploading.uploading(Context(), where="youtube", api=server.url, tokens=f"{server.url}/token", **options)


def test_the_local_channel_has_each_approved_video_with_captions_feeds_and_pages():
    first, second = approved_video(0), approved_video(1)
    approved_video(2, decision="split")
    told = uploading.uploading(Context(), name="Plain Algorithms", address="https://example.org/channel/")
    assert told["uploaded"] == [first, second]
    upload = files.read(first, files.UPLOAD)
    assert (upload["where"], upload["id"]) == ("local", first)
    assert upload["url"] == f"https://example.org/channel/videos/{first}/"
    assert "default template" in upload["texts_by"]
    there = SITE / "videos" / first
    assert sorted(path.name for path in there.iterdir()) == [
        "captions.srt", "captions.vtt", "entry.json", "index.html", "thumbnail.png", "video.mp4",
    ]  # fmt: skip
    assert (there / "video.mp4").read_bytes() == (files.folder_of(first) / "video.mp4").read_bytes()
    feed = json.loads((SITE / "feed.json").read_text())
    assert {item["id"] for item in feed["items"]} == {first, second}
    assert feed["items"][0]["attachments"][0]["size_in_bytes"] == 1000
    items = ET.parse(SITE / "feed.xml").getroot().findall("channel/item")
    assert {item.findtext("guid") for item in items} == {first, second}
    assert items[0].find("enclosure").get("length") == "1000"
    page = (there / "index.html").read_text()
    assert 'src="captions.vtt"' in page
    assert 'data-at="61.5"' in page
    assert "Hash tables (What it costs)" in page
    front = (SITE / "index.html").read_text()
    assert f'href="videos/{first}/index.html"' in front
    assert "2:30" in front


def test_what_is_published_twice_is_there_once_and_a_crash_between_leaves_nothing_out():
    video_id = approved_video()
    uploading.uploading(Context())
    (files.folder_of(video_id) / files.UPLOAD).unlink()  # as if it had been killed before it wrote that down
    (SITE / "feed.xml").unlink()
    uploading.uploading(Context())
    assert len(ET.parse(SITE / "feed.xml").getroot().findall("channel/item")) == 1
    assert uploading.uploading(Context())["uploaded"] == []


def test_texts_of_viewers_and_scripts_are_text_on_the_pages():
    video_id = approved_video()
    script = files.read(video_id, files.SCRIPT)
    texts = {"title": "<script>x</script>: the & cost", "summary": "<script>y</script> & all."}
    files.write(video_id, files.SCRIPT, {**script, **texts})
    uploading.uploading(Context())
    page = (SITE / "videos" / video_id / "index.html").read_text()
    assert "<script>y" not in page
    # YouTube takes no < and > in titles and descriptions, so none has them.
    assert "\u2039script\u203ay\u2039/script\u203a &amp; all." in page
    title = "\u2039script\u203ax\u2039/script\u203a: the & cost"
    assert title.replace("&", "&amp;") in page
    item = ET.parse(SITE / "feed.xml").getroot().find("channel/item")
    assert item.findtext("title") == title
    assert item.findtext("description").startswith("\u2039script\u203ay\u2039/script\u203a & all.\n")


def decided(video_id, winner):
    ab = import_module("ab_tests")
    test = ab.test_of(video_id)
    files.write(video_id, files.AB, {**test, "status": "decided", "winner": winner, "why": "clicked more often"})


def test_what_earlier_tests_found_decides_the_title_and_is_said():
    earlier = approved_video(0)
    uploading.uploading(Context())
    decided(earlier, "b")
    video_id = approved_video(1)
    uploading.uploading(Context())
    upload = files.read(video_id, files.UPLOAD)
    assert upload["title"] == "Binary search? Let us see the cost"
    assert upload["style"] == "question"
    assert upload["texts_by"] == f"A/B tests: question won 1 (ab-{earlier})"
    # The video of the test itself has the winner by now.
    own = files.read(earlier, files.UPLOAD)
    assert own["title"] == "Hash tables? Let us see the cost"
    assert (SITE / "videos" / earlier / "thumbnail.png").read_bytes() == b"\x89PNG b"


def test_youtube_gets_the_video_in_pieces_and_then_captions_and_thumbnail(youtube):
    video_id = approved_video(size=TWO_PIECES)
    upload(youtube)
    assert youtube.asked == [
        "token", "begin", f"piece bytes 0-{STEP - 1}/{TWO_PIECES}", f"piece bytes {STEP}-{TWO_PIECES - 1}/{TWO_PIECES}",
        "captions", "thumbnail",
    ]  # fmt: skip
    state, [about] = youtube.state, youtube.state.videos.values()
    assert state.contents["yt1"] == (files.folder_of(video_id) / "video.mp4").read_bytes()
    assert about["snippet"]["title"] == "Hash tables: the cost"
    assert about["snippet"]["tags"] == ["Hash tables", "Hash tables cost", "hash", "tables"]
    assert about["status"]["privacyStatus"] == "private"
    assert state.captions["yt1"] == ["WEBVTT\n\n00:00.000 --> 00:01.000\nHow can one look\n"]
    assert state.thumbnails["yt1"] == b"\x89PNG a"
    told = files.read(video_id, files.UPLOAD)
    assert (told["where"], told["id"], told["left"]) == ("youtube", "yt1", [])
    assert not (files.folder_of(video_id) / uploading.SESSION).exists()


def uploaded_once(server, video_id):
    """Upload until it is there; return how many runs that took."""
    for run in range(1, 10):
        try:
            upload(server)
        except TransientError:
            continue
        assert len(server.state.videos) == 1
        assert server.state.contents["yt1"] == (files.folder_of(video_id) / "video.mp4").read_bytes()
        assert files.read(video_id, files.UPLOAD)["left"] == []
        return run
    raise AssertionError(server.asked)


@pytest.mark.parametrize("fault", [breaks_before, breaks_after, answers_status(503), answers_status(401)])
@pytest.mark.parametrize("number", [2, 3, 4, 5, 6])
def test_a_fault_at_any_request_leaves_one_video(youtube, fault, number):
    video_id = approved_video(size=TWO_PIECES)
    youtube.faults[number] = fault
    assert uploaded_once(youtube, video_id) == 1


def test_a_connection_that_breaks_within_pieces_goes_on_where_it_broke(youtube):
    video_id = approved_video(size=TWO_PIECES)
    youtube.most_bytes = 100_000
    assert uploaded_once(youtube, video_id) == 1
    assert f"piece bytes 100000-{TWO_PIECES - 1}/{TWO_PIECES}" in youtube.asked
    assert youtube.kinds().count("begin") == 1


def test_a_server_that_fails_for_long_is_left_and_asked_first_the_next_time(youtube):
    video_id = approved_video(size=TWO_PIECES)
    for number in range(4, 30):
        youtube.faults[number] = answers_status(500)
    with pytest.raises(TransientError, match=video_id):
        upload(youtube)
    assert not files.has(video_id, files.UPLOAD)
    youtube.faults.clear()
    before = len(youtube.asked)
    assert uploaded_once(youtube, video_id) == 1
    assert youtube.asked[before : before + 2] == ["token", f"status bytes */{TWO_PIECES}"]


@pytest.mark.parametrize("kind", [calls_before, calls_after])
@pytest.mark.parametrize("number", range(1, 7))
def test_who_is_killed_at_any_request_uploads_once(youtube, project, number, kind):
    video_id = approved_video(size=TWO_PIECES)
    command = [sys.executable, "-c", CHILD, str(EXAMPLE), youtube.url]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ready = threading.Event()
    held = []

    def kill():
        ready.wait()
        held[0].kill()
        held[0].wait()

    youtube.faults[number] = kind(kill)
    with subprocess.Popen(command, env=environment, cwd=project, stderr=subprocess.DEVNULL) as child:
        held.append(child)
        ready.set()
        assert child.wait() == -signal.SIGKILL
    assert uploaded_once(youtube, video_id) == 1
    assert len(youtube.state.captions["yt1"]) == 1


def test_a_session_that_is_gone_after_it_may_have_ended_is_looked_for_in_the_channel(youtube):
    old = [approved_video(number, size=500) for number in range(3)]
    upload(youtube)
    video_id = approved_video(3, size=TWO_PIECES)
    for number in range(20):
        youtube.faults[len(youtube.asked) + 4 + number] = breaks_after if number == 0 else answers_status(503)
    with pytest.raises(TransientError):
        upload(youtube)
    assert len(youtube.state.videos) == len(old) + 1
    youtube.faults.clear()
    youtube.state.sessions.clear()
    upload(youtube)
    assert len(youtube.state.videos) == len(old) + 1
    assert files.read(video_id, files.UPLOAD)["id"] == "yt4"
    assert "playlist" in youtube.kinds()


@pytest.mark.parametrize(("newer", "pages", "found"), [(450, 10, True), (999, 20, True), (1000, 20, False)])
def test_a_video_whose_session_is_gone_is_looked_for_page_by_page_as_far_as_the_bound(youtube, newer, pages, found):
    video_id = approved_video(size=TWO_PIECES)
    youtube.faults |= {4: breaks_after, **{number: answers_status(503) for number in range(5, 30)}}
    with pytest.raises(TransientError):
        upload(youtube)
    youtube.faults.clear()
    youtube.state.sessions.clear()
    others = {f"other{number}": {"snippet": {"description": "another"}} for number in range(newer)}
    youtube.state.videos |= others
    youtube.a_page = 50
    upload(youtube)
    assert youtube.kinds().count("playlist") == pages
    assert (files.read(video_id, files.UPLOAD)["id"] == "yt1") is found
    assert len(youtube.state.videos) == newer + (1 if found else 2)


def test_a_damaged_session_is_told_and_nothing_is_sent_twice(youtube):
    damaged, good = approved_video(0), approved_video(1)
    (files.folder_of(damaged) / uploading.SESSION).write_text('{"session":')
    told = upload(youtube)
    assert told["uploaded"] == [good]
    assert "look on YouTube whether the video is there" in told["problems"][0]["why"]


def test_where_all_that_waits_is_broken_the_run_fails_and_says_why():
    video_id = approved_video(0)
    (files.folder_of(video_id) / "video.mp4").unlink()
    with pytest.raises(PermanentError, match=rf"nothing could be uploaded: {video_id}: .*video\.mp4: is gone or empty"):
        uploading.uploading(Context())


def test_a_session_that_is_gone_before_it_could_end_is_begun_anew(youtube):
    video_id = approved_video(size=TWO_PIECES)
    youtube.faults |= {number: answers_status(503) for number in range(3, 30)}
    with pytest.raises(TransientError):
        upload(youtube)
    youtube.faults.clear()
    youtube.state.sessions.clear()
    assert uploaded_once(youtube, video_id) == 1
    assert "playlist" not in youtube.kinds()


def test_a_video_that_was_made_anew_meanwhile_is_not_mixed_with_the_old_one(youtube):
    video_id = approved_video(size=TWO_PIECES)
    youtube.faults |= {number: answers_status(503) for number in range(4, 30)}
    with pytest.raises(TransientError):
        upload(youtube)
    youtube.faults.clear()
    (files.folder_of(video_id) / "video.mp4").write_bytes(b"new" * 100_000)
    assert uploaded_once(youtube, video_id) == 1


def test_the_quota_of_uploads_leaves_the_rest_for_the_next_day(youtube, monkeypatch):
    ids = [approved_video(number) for number in range(3)]
    told = upload(youtube, uploads_a_day=2)
    assert told["uploaded"] == ids[:2]
    assert told["waiting"] == ids[2:]
    assert "the day's uploads of YouTube are spent (2 of 2, 1 needed)" in told["spent"]
    assert upload(youtube, uploads_a_day=2)["uploaded"] == []
    tomorrow(monkeypatch)
    assert upload(youtube, uploads_a_day=2)["uploaded"] == ids[2:]
    assert len(youtube.state.videos) == 3


def tomorrow(monkeypatch):
    class Clock:
        def now_us(self):
            return int(datetime.now(UTC).timestamp() * 1e6) + 86_400_000_000

    monkeypatch.setattr(uploading, "SystemClock", Clock)


def test_a_429_for_an_upload_is_a_spent_bucket_whatever_was_counted(youtube, monkeypatch):
    ids = [approved_video(number) for number in range(2)]
    youtube.faults[2] = answers_status(429, "uploadLimitExceeded")
    told = upload(youtube)
    assert told["uploaded"] == []
    assert told["waiting"] == ids
    assert "YouTube says that the day's uploads are spent" in told["spent"]
    before = len(youtube.asked)
    assert upload(youtube)["uploaded"] == []
    assert len(youtube.asked) == before, "nothing is asked of a bucket that is spent"
    tomorrow(monkeypatch)
    assert upload(youtube)["uploaded"] == ids


def test_spent_units_leave_captions_for_the_next_day_and_the_video_is_there(youtube, monkeypatch):
    ids = [approved_video(number) for number in range(2)]
    told = upload(youtube, units_a_day=460)
    assert told["uploaded"] == ids
    assert files.read(ids[0], files.UPLOAD)["left"] == []
    assert files.read(ids[1], files.UPLOAD)["left"] == ["captions", "thumbnail"]
    tomorrow(monkeypatch)
    upload(youtube, units_a_day=460)
    assert files.read(ids[1], files.UPLOAD)["left"] == []
    assert len(youtube.state.videos) == 2


def test_the_day_of_the_quota_ends_at_midnight_pacific(tmp_path):
    def quota(*at):
        limits = quota_module.Limits(uploads=1, units=1000)
        return quota_module.Quota(tmp_path / "quota.json", limits, datetime(*at, tzinfo=UTC))

    quota(2026, 7, 4, 12).take("uploads")
    assert quota(2026, 7, 5, 6, 59).left() == {"uploads": 0, "units": 1000}
    assert quota(2026, 7, 5, 7, 0).left() == {"uploads": 1, "units": 1000}
    quota(2026, 12, 24, 12).take("units", 950)
    with pytest.raises(quota_module.Spent, match="950 of 1,000, 400 needed"):
        quota(2026, 12, 25, 7, 59).take("units", 400)
    assert quota(2026, 12, 25, 8, 0).left() == {"uploads": 1, "units": 1000}


def test_a_verdict_changes_the_title_of_a_video_that_is_there(youtube):
    video_id = approved_video()
    upload(youtube)
    decided(video_id, "c")
    upload(youtube)
    assert youtube.state.videos["yt1"]["snippet"]["title"] == "Hash tables, made clear: the cost"
    assert youtube.state.thumbnails["yt1"] == b"\x89PNG c"
    before = len(youtube.asked)
    upload(youtube)
    assert len(youtube.asked) == before


def test_no_secret_is_on_disk_or_in_what_is_said(youtube, project, capfd):
    video_id = approved_video(size=TWO_PIECES)
    youtube.faults |= {number: answers_status(500) for number in range(4, 30)}
    with pytest.raises(TransientError) as caught:
        upload(youtube)
    youtube.faults.clear()
    youtube.faults[len(youtube.asked) + 1] = answers_status(400)
    with pytest.raises(ConfigError) as refused:
        upload(youtube)
    kept = "".join(path.read_text(errors="replace") for path in project.rglob("*") if path.suffix in (".json", ".lock"))
    said = f"{caught.value}{refused.value}{capfd.readouterr()}"
    for secret in ("client-secret", "refresh-secret", "token-secret"):
        assert secret not in kept + said
    assert "/session/" not in said
    assert uploaded_once(youtube, video_id) == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"where": "nowhere"}, "where: 'nowhere' is neither 'local' nor 'youtube'"),
        ({"where": "youtube", "piece_bytes": 1000}, "piece_bytes: 1000 is not a multiple of 262144"),
    ],
)
def test_settings_that_are_none_are_refused_before_anything_is_sent(options, says):
    with pytest.raises(UserMistake, match=says):
        uploading.uploading(Context(), **options)


def test_youtube_without_its_variables_says_which_are_missing(monkeypatch):
    monkeypatch.delenv("YOUTUBE_REFRESH_TOKEN")
    with pytest.raises(ConfigError, match="uploads to YouTube need YOUTUBE_REFRESH_TOKEN in the environment"):
        uploading.uploading(Context(), where="youtube")


def test_a_second_uploader_waits_for_its_turn():
    approved_video()
    with uploading._alone(), pytest.raises(TransientError, match="another upload of this project is at work"):
        uploading.uploading(Context())


# ---- Videos whose files are broken ----


def break_file(video_id, name):
    (files.folder_of(video_id) / name).write_text('{"video_id":')


def test_a_video_whose_file_is_gone_stops_no_other_and_is_told():
    ids = [approved_video(number) for number in range(3)]
    (files.folder_of(ids[0]) / files.VIDEO).unlink()
    (files.folder_of(ids[1]) / files.VIDEO).write_bytes(b"")
    told = uploading.uploading(Context())
    assert told["uploaded"] == ids[2:]
    assert told["waiting"] == ids[:2]
    assert [one["video_id"] for one in told["problems"]] == ids[:2]
    assert "video.mp4: is gone or empty; remove assembly.json beside it" in told["problems"][0]["why"]
    assert not (SITE / "videos" / ids[0]).exists()


def test_a_video_whose_file_is_gone_takes_nothing_of_the_days_uploads(youtube):
    ids = [approved_video(number) for number in range(2)]
    (files.folder_of(ids[0]) / files.VIDEO).unlink()
    assert upload(youtube, uploads_a_day=1)["uploaded"] == ids[1:]


@pytest.mark.parametrize("name", ["committee.json", "topic.json", "script.json", "assembly.json"])
@pytest.mark.parametrize("text", ['{"video_id":', "[]", "{}"])
def test_a_damaged_file_of_one_video_stops_no_other_and_is_told(name, text):
    broken, good = approved_video(0), approved_video(1)
    (files.folder_of(broken) / name).write_text(text)
    told = uploading.uploading(Context())
    assert told["uploaded"] == [good]
    [problem] = told["problems"]
    assert problem["video_id"] == broken
    assert name in problem["why"] or "its files hold something else than they should" in problem["why"]


def test_what_is_damaged_of_a_video_that_is_there_stops_no_other():
    ids = [approved_video(number) for number in range(3)]
    uploading.uploading(Context())
    break_file(ids[0], files.UPLOAD)
    break_file(ids[1], files.AB)
    files.write(ids[2], files.AB, {"status": "decided", "winner": "z", "test_id": "t", "variants": []})
    new = approved_video(3)
    told = uploading.uploading(Context())
    assert told["uploaded"] == [new]
    assert [one["video_id"] for one in told["problems"]] == ids
    assert files.read(new, files.UPLOAD)["style"] == "plain"


def test_broken_videos_are_told_beside_what_may_go_well_the_next_time(youtube):
    broken, failing = approved_video(0), approved_video(1)
    break_file(broken, files.COMMITTEE)
    youtube.always = answers_status(503)
    with pytest.raises(TransientError, match=r"0 uploaded, 2 not: .*committee\.json") as caught:
        upload(youtube)
    assert failing in str(caught.value)


def test_videos_that_went_elsewhere_before_are_left_where_they_are(youtube):
    old = approved_video(0)
    uploading.uploading(Context())
    decided(old, "b")
    new = approved_video(1)
    told = upload(youtube)
    assert (told["uploaded"], told["problems"]) == ([new], [])
    assert files.read(old, files.UPLOAD)["variant"] == "a"


def test_a_published_video_whose_own_file_was_removed_for_room_can_change_its_title():
    video_id = approved_video()
    uploading.uploading(Context())
    decided(video_id, "b")
    (files.folder_of(video_id) / files.VIDEO).unlink()
    assert uploading.uploading(Context())["problems"] == []
    entry = json.loads((SITE / "videos" / video_id / "entry.json").read_text())
    assert (entry["title"], entry["bytes"]) == ("Hash tables? Let us see the cost", 1000)
    assert "video.mp4" in entry["files"]


# ---- The clock, and the file of the quota ----


def quota_at(path, day, uploads=5):
    limits = quota_module.Limits(uploads=uploads, units=1000)
    return quota_module.Quota(path, limits, datetime(2026, 7, day, 12, tzinfo=UTC))


def test_a_clock_that_is_put_back_and_forward_again_gives_no_more_uploads(tmp_path):
    path = tmp_path / "quota.json"
    for _ in range(3):
        quota_at(path, 4).take("uploads")
    for day in (3, 4):
        quota_at(path, day).take("uploads")
    for day in (3, 4, 1):
        with pytest.raises(quota_module.Spent, match="5 of 5"):
            quota_at(path, day).take("uploads")
    assert quota_at(path, 5).left() == {"uploads": 5, "units": 1000}


def test_a_clock_that_was_far_ahead_for_once_stops_nothing_for_long(tmp_path):
    path = tmp_path / "quota.json"
    for day in range(20, 30):
        quota_at(path, day).take("uploads", 5)
    assert quota_at(path, 4).left()["uploads"] == 5
    quota_at(path, 4).take("uploads", 2)
    assert quota_at(path, 4).left()["uploads"] == 3, "the day of the clock is kept, too"


def test_counts_of_the_last_days_alone_are_kept(tmp_path):
    path = tmp_path / "quota.json"
    for day in range(1, 20):
        quota_at(path, day).take("uploads")
    assert list(json.loads(path.read_text())["days"]) == [f"2026-07-{day}" for day in range(13, 20)]


@pytest.mark.parametrize("text", ['{"days":', "[]", "{}", '{"days": {"2026-07-04": {"uploads": 1}}}', '{"days": 3}',
                                  '{"days": {"today": {"uploads": 1, "units": 1}}}'])  # fmt: skip
def test_a_damaged_file_of_the_quota_is_one_clear_line_before_anything_is_sent(youtube, text):
    ids = [approved_video(number) for number in range(2)]
    Path(".overnight/data/youtube_quota.json").write_text(text)
    with pytest.raises(
        PermanentError, match=r"youtube_quota\.json: is damaged: .*: remove it after the next"
    ) as caught:
        upload(youtube)
    assert "\n" not in str(caught.value)
    assert ids[0] not in str(caught.value)
    assert youtube.asked == []
