"""The reviewer approves a good video, and each planted fault is flagged or rejected for that very reason.

Every video is a real file of 40 s, and everything is measured on it.
"""

import json
import shutil
from importlib import import_module
from pathlib import Path

import pytest

import channel_video
from channel_example import Context, files
from overnight.base.errors import UnknownName
from overnight.studio import ffmpeg
from overnight.testing.bench import Bench

reviewer = import_module("reviewer")
review_media = import_module("review_media")
committee = import_module("committee")
scores = import_module("review_scores")
consensus = import_module("consensus")
VIDEO = "202607040000-hash-tables"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A project with one good video."""
    root = tmp_path_factory.mktemp("good")
    channel_video.make(VIDEO, root)
    return root


@pytest.fixture
def video(good, tmp_path, monkeypatch):
    """The folder of a copy of the good video, in the project that the test works in."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(files.folder_of(VIDEO, root=good), files.folder_of(VIDEO)))


def change(name, **values):
    files.write(VIDEO, name, {**files.read(VIDEO, name), **values})


def refilm(video, *options):
    """Make the video anew with these options of ffmpeg."""
    video.joinpath("video.mp4").replace(video / "before.mp4")
    ffmpeg.run(["-i", video / "before.mp4", *options, "-c:s", "mov_text", video / "video.mp4"])


def test_a_good_video_is_approved_and_every_score_says_what_it_was_measured_from(video):
    told = reviewer.reviewer(Context())
    review = files.read(VIDEO, files.REVIEW)
    assert told["decision"] == review["decision"] == "approve", review["reasons"]
    assert review["faults"] == []
    assert review["overall"] == pytest.approx(scores.overall(review["scores"]), abs=0.02)
    assert set(review["scores"]) == set(scores.WEIGHTS)
    assert [claim["why"] for claim in review["claims"]] == ["the passage says so"] * len(review["claims"])
    assert len(review["claims"]) >= 5
    figures = review["measurements"]
    assert figures["duration_s"] == pytest.approx(40, abs=0.2)
    assert figures["loudness_off_lu"] < 1
    assert figures["captioned_share"] == 1.0
    assert figures["caption_late_s"] < 0.01
    assert figures["seen_contrast"] > 3
    assert figures["sound_alike"] > 0.95 and abs(figures["sound_late_s"]) < 0.1
    assert reviewer.reviewer(Context()) == {"video_id": None}, "it is reviewed once"


def wrong_number(video):
    [first, second] = files.read(VIDEO, files.SCRIPT)["sections"]
    change(files.SCRIPT, sections=[{**first, "content": first["content"].replace("1,024", "2,024")}, second])


def wrong_number_in_words(video):
    [first, second] = files.read(VIDEO, files.SCRIPT)["sections"]
    change(files.SCRIPT, sections=[first, {**second, "content": second["content"].replace("700 steps", "nine steps")}])


def wrong_number_said(video):
    narration = files.read(VIDEO, files.LESSON)["narration"]
    change(files.LESSON, narration=narration.replace("looks at 2 keys", "looks at 20 keys"))


def turned_round(video):
    [first, second] = files.read(VIDEO, files.SCRIPT)["sections"]
    change(files.SCRIPT, sections=[first, {**second, "content": second["content"].replace("never shrinks", "shrinks")}])


def made_up(video):
    [first, second] = files.read(VIDEO, files.SCRIPT)["sections"]
    invented = "Aliens who love cheese have built these structures for their own amusement."
    change(files.SCRIPT, sections=[{**first, "content": f"{first['content']} {invented}"}, second])


def no_captions(video):
    (video / "captions.srt").unlink()


def captions_late(video):
    (video / "captions.srt").write_text(channel_video.captions(late_s=2.0))


def captions_of_another_video(video):
    (video / "captions.srt").write_text("1\n00:00:00,500 --> 00:00:40,000\nquite another text\n")


def black(video):
    refilm(video, "-vf", "drawbox=color=black:t=fill:enable='between(t,11,14)'", "-c:a", "copy")


def silence(video):
    refilm(video, "-af", "volume=0", "-c:v", "copy")


def silence_for_a_while(video):
    refilm(video, "-af", "volume=0:enable='between(t,12,18)'", "-c:v", "copy")


def sound_late(video):
    refilm(video, "-af", "adelay=2000:all=1", "-t", "40", "-c:v", "copy")


def sound_early(video):
    refilm(video, "-af", "atrim=start=3,asetpts=PTS-STARTPTS,apad", "-t", "40", "-c:v", "copy")


def sound_late_from_the_middle_on(video):
    parts = "asplit[a][b];[a]atrim=end=20[c];[b]atrim=start=20,asetpts=PTS-STARTPTS,adelay=1000:all=1[d]"
    refilm(video, "-filter_complex", f"[0:a]{parts};[c][d]concat=n=2:v=0:a=1[e]", "-map", "0:v", "-map", "[e]",
           "-map", "0:s", "-t", "40", "-c:v", "copy")  # fmt: skip


def another_sound(video):
    refilm(video, "-f", "lavfi", "-i", "sine=f=440:d=40", "-map", "0:v", "-map", "1:a", "-map", "0:s", "-c:v", "copy")


def no_captions_inside(video):
    refilm(video, "-sn", "-c", "copy")


def captions_inside_late(video):
    (video / "late.srt").write_text(channel_video.captions(late_s=2.0))
    refilm(video, "-i", video / "late.srt", "-map", "0:v", "-map", "0:a", "-map", "1:s", "-c:v", "copy")


def clipping(video):
    refilm(video, "-af", "volume=24dB", "-c:v", "copy")


def half(video):
    refilm(video, "-t", "20", "-c", "copy")


def no_sound(video):
    refilm(video, "-an", "-c:v", "copy")


def no_picture(video):
    refilm(video, "-vn", "-c:a", "copy")


def slides(video, *other):
    """Film the slides again, some of them otherwise."""
    images = [channel_video.draw(title, lines)[0] for _, title, lines in channel_video.SLIDES]
    for place, image in other:
        images[place] = image
    channel_video.film(video, images)


def frozen(video):
    still = channel_video.draw("Buckets", ["a key", "a bucket", "a function"])[0]
    slides(video, (2, still), (3, still), (4, still))


def overflow_planned(video):
    scenes = files.read(VIDEO, files.ASSEMBLY)["scenes"]
    scenes[3]["overflow"] = ["a text of many words"]
    change(files.ASSEMBLY, scenes=scenes)


def overflow_of_a_box(video):
    scenes = files.read(VIDEO, files.ASSEMBLY)["scenes"]
    scenes[3]["boxes"][1]["w"] = 400
    change(files.ASSEMBLY, scenes=scenes)


def overflow_seen(video):
    slides(
        video, (3, channel_video.draw("Searches", ["buckets  1,024 and keys  700 and more of them", "keys  700"])[0])
    )


def unreadable_text(video):
    slides(video, (3, channel_video.draw("Searches", ["buckets  1,024", "keys  700"], colour="#1e2a46")[0]))


def no_video(video):
    (video / "video.mp4").write_bytes(b"no video at all" * 100)


BAD = [
    (wrong_number, "wrong number", "it says '2,024', the passage says '1,024'"),
    (wrong_number_in_words, "wrong number", "it says 'nine', the passage says"),
    (wrong_number_said, "wrong number", "narration: 'With 1,024 buckets and 700 keys, a search looks at 20 keys"),
    (turned_round, "said the other way round", "the passage says 'A table never shrinks by itself.'"),
    (made_up, "not told by what it cites", "the passage has no word for 'Aliens', 'love', 'cheese'"),
    (no_captions, "no captions", "there are no captions"),
    (captions_late, "captions out of time", "captions come 2.0 s later than the words"),
    (captions_of_another_video, "no captions", "there are no captions with what is said"),
    (black, "black", "the picture is black for 3."),
    (silence, "silence", "nothing is heard in 100 % of it"),
    (silence_for_a_while, "silence", "nothing is heard for 6."),
    (sound_late, "sound out of time", "the narration is heard 2.0 s later than"),
    (sound_early, "sound out of time", "the narration is heard 3.0 s sooner than"),
    (sound_late_from_the_middle_on, "sound out of time", "the narration is heard 1.0 s later than"),
    (another_sound, "another sound", "what is heard is not the narration"),
    (no_captions_inside, "no captions in the file", "players of the video alone have none"),
    (captions_inside_late, "captions out of time", "captions come 2.0 s later than the words"),
    (clipping, "clipping", "of the sound is cut off at the loudest"),
    (half, "duration", "it lasts 20."),
    (no_sound, "no sound", "the file has no audio stream"),
    (no_picture, "no picture", "the file has no video stream"),
    (frozen, "frozen", "the picture stands still for 15.0 s after it was to change"),
    (overflow_planned, "overflow", "table 'Searches' at 15 s: 'a text of many words' does not fit"),
    (overflow_of_a_box, "overflow", "'buckets  1,024' reaches out of the picture"),
    (overflow_seen, "overflow", "table 'Searches' at 15 s: text is cut off at the right of the picture"),
    (unreadable_text, "unreadable text", "text has a contrast of 1."),
    (no_video, "unreadable", "video.mp4"),
]
TEXTS = {wrong_number, wrong_number_in_words, wrong_number_said, turned_round, made_up}
HOPELESS = {"no sound", "no picture", "duration", "unreadable", "another sound"}


@pytest.fixture(scope="module")
def seen(good):
    """What was measured on the files of the good video."""
    texts = [files.read(VIDEO, name, root=good) for name in (files.SCRIPT, files.VOICE, files.ASSEMBLY)]
    return review_media.look(files.folder_of(VIDEO, root=good), *texts, lambda: False)


@pytest.mark.parametrize(("plant", "fault", "says"), BAD, ids=[plant.__name__ for plant, _, _ in BAD])
def test_a_planted_fault_is_refused_for_that_reason(video, seen, monkeypatch, plant, fault, says):
    plant(video)
    if plant in TEXTS:
        # The files are those of the good video: they need not be measured again.
        monkeypatch.setattr(review_media, "look", lambda *_: seen)
    review = reviewer.reviewed(VIDEO)
    assert review["decision"] == ("reject" if fault in HOPELESS or plant is silence else "flag")
    assert fault in {one["name"] for one in review["faults"]}
    assert review["reasons"][0].startswith(f"{fault}: "), review["reasons"]
    assert says in review["reasons"][0]
    others = {one["name"] for one in review["faults"]} - {fault}
    assert others <= ({"silence", "captions miss words"} if fault in HOPELESS else set()), others


def test_a_video_that_is_not_finished_is_told_so(video):
    (video / files.VOICE).unlink()
    with pytest.raises(UnknownName, match=r"has no voice\.json yet"):
        reviewer.reviewer(Context(), video_id=VIDEO)


@pytest.fixture
def bench(tmp_path):
    with Bench(tmp_path, f"sqlite:///{tmp_path / 'overnight.db'}") as one:
        for action in (committee.review_committee, committee.committee_question):
            one.add(action.__name__, action, max_concurrent=None)
        for action in (committee.committee_judges, committee.committee_answer):
            one.add(action.__name__, action)
        yield one


def sat(bench):
    run_id = bench.project.submit("review_committee")
    bench.work()
    return bench.result(run_id)


def test_the_committee_approves_what_its_members_and_the_review_approve(video, bench):
    reviewer.reviewer(Context())
    assert sat(bench)["decision"] == "approve"
    told = files.read(VIDEO, files.COMMITTEE)
    assert len(told["members"]) == 5
    read = [set(member["measurements"]) for member in told["members"]]
    assert all(one.isdisjoint(other) for place, one in enumerate(read) for other in read[:place])
    assert sat(bench)["decision"] == "nothing"
    assert bench.project.questions() == []


def test_a_flagged_video_goes_to_a_person_and_no_other_video_waits_for_the_answer(video, bench):
    captions_late(video)
    reviewer.reviewer(Context())
    assert sat(bench)["decision"] == "split"
    [question] = bench.project.questions()
    assert question.choices == ("approve", "reject")
    assert "the review says flag (captions out of time: captions come 2.0 s later than the words" in question.prompt
    assert "video.mp4" in question.prompt
    assert files.read(VIDEO, files.COMMITTEE)["decision"] == "split"
    other = Path(shutil.copytree(video, files.folder_of("202607040400-other")))
    (other / files.COMMITTEE).unlink()
    review = {**files.read(VIDEO, files.REVIEW), "decision": "reject", "reasons": ["no sound: none"]}
    files.write("202607040400-other", files.REVIEW, review)
    assert sat(bench)["decision"] == "reject"
    bench.project.answer(question.question_id, "approve")
    bench.work()
    told = files.read(VIDEO, files.COMMITTEE)
    assert (told["decision"], told["answered"]) == ("approve", "approve")
    assert told["why"].startswith("a person said approve; before: ")


def test_the_committee_decides_on_all_that_wait_and_asks_about_each_that_is_split(video, bench):
    captions_late(video)
    reviewer.reviewer(Context())
    others = ["202607040400-other", "202607040800-third"]
    for name in others:
        shutil.copytree(video, files.folder_of(name))
    files.write(others[0], files.REVIEW, {**files.read(VIDEO, files.REVIEW), "decision": "reject"})
    assert sat(bench)["video_id"] == VIDEO
    assert [files.read(name, files.COMMITTEE)["decision"] for name in (VIDEO, *others)] == ["split", "reject", "split"]
    assert len(bench.project.questions()) == 2


def test_judges_who_were_killed_when_they_had_decided_find_their_decision_again(video):
    reviewer.reviewer(Context())
    told = committee.committee_judges(Context(run_id=7))
    assert committee.committee_judges(Context(run_id=7)) == told
    assert committee.committee_judges(Context(run_id=8))["decision"] == "nothing"


def test_members_who_see_different_things_are_split_and_the_question_names_the_lowest(video, bench):
    reviewer.reviewer(Context())
    review = files.read(VIDEO, files.REVIEW)
    dull = {
        "hook_words": 0,
        "hook_pull": 0,
        "changes_per_minute": 0.5,
        "stillest_s": 60,
        "scene_kinds": 1,
        "manners": 0,
    }
    files.write(VIDEO, files.REVIEW, {**review, "measurements": {**review["measurements"], **dull}})
    told = sat(bench)
    assert told["decision"] == "split"
    assert told["range"] > consensus.WIDEST
    [question] = bench.project.questions()
    assert "viewer" in question.prompt
    assert "longest time that a picture stood still" in question.prompt


def test_what_is_written_is_json_that_others_can_read(video):
    reviewer.reviewer(Context())
    text = (video / files.REVIEW).read_text()
    assert json.loads(text)["technical"]["captions"] == ["captions.srt"]
    assert "NaN" not in text
