"""What ffmpeg is told: changes lie within their segment, chapters are in order, titles stay in their place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.studio.filters import Chapter, Motion, changes, in_order, metadata, motion_graph, sound_graph


def motion(**given_):
    return Motion(**{"changes": ((0, 5),), "frames": 50, "start": 0, "total": 200, "fps": 10} | given_)


@given(st.sets(st.integers(1, 199), max_size=6), st.integers(1, 60), st.booleans())
def test_a_change_begins_when_its_still_is_due_and_is_over_before_the_next_one(later, fps, closes):
    frames = [0, *sorted(later)]
    found = changes(frames, 200, fps, closes=closes)
    assert [at for at, _ in found[: len(frames)]] == frames
    assert len(found) == len(frames) + closes
    assert all(length >= 1 for _, length in found)
    for (at, length), after in zip(found, [*frames[1:], 200], strict=False):
        assert at + length <= max(after, at + 1)


def test_changes_take_half_a_second_parts_less_and_the_end_a_little_more():
    assert changes([0, 50], 200, 10, closes=False) == ((0, 5), (50, 3))
    assert changes([0, 50], 200, 10, closes=True) == ((0, 5), (50, 3), (192, 8))


def test_a_last_scene_shorter_than_its_end_still_has_one():
    assert changes([0], 4, 10, closes=True) == ((0, 1), (0, 4))


def test_the_graph_takes_as_many_inputs_as_there_are_pictures_and_the_bar():
    graph = motion_graph(motion(changes=((0, 5), (20, 3))))
    assert [f"[{number}:v]" in graph for number in range(5)] == [True] * 4 + [False]
    assert "xfade=transition=fade:duration=0.300000:offset=2.000000" in graph
    assert graph.endswith("trim=end_frame=50,format=yuv420p[out]")


def test_the_bar_goes_on_where_the_segment_before_ended():
    assert "x='-w+W*(n+151)/200'" in motion_graph(motion(start=150))


def test_burnt_captions_are_shown_by_the_time_of_the_video_and_not_of_the_segment():
    graph = motion_graph(motion(start=150, captions="subtitles=captions.srt"))
    assert "setpts=PTS+15.000000/TB,subtitles=captions.srt,setpts=PTS-15.000000/TB" in graph
    assert "subtitles" not in motion_graph(motion(start=150))


def test_the_voice_is_left_as_it_is_and_music_is_put_under_it_and_fades():
    assert sound_graph(2, None, 9.0) == "[2:a]aresample=48000,aformat=channel_layouts=stereo[sound]"
    both = sound_graph(2, 3, 9.0)
    assert "[3:a]loudnorm=I=-36:" in both
    assert "afade=out:st=6.000:d=3" in both
    assert "[voice][music]amix=inputs=2:duration=first:normalize=0[sound]" in both
    assert "afade=out:st=0.000" in sound_graph(2, 3, 1.0)
    assert "[loud][key]sidechaincompress=" in sound_graph(2, 3, 9.0, swells=True)


def test_chapters_last_until_the_next_one_or_the_end():
    chapters = [Chapter(begin_s=0, title="One"), Chapter(begin_s=2.5, title="Two")]
    text = metadata("Slopes", chapters, 9.0)
    assert text.startswith(";FFMETADATA1\ntitle=Slopes\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=2500\ntitle=One\n")
    assert text.endswith("START=2500\nEND=9000\ntitle=Two\n")
    assert metadata("Slopes", [], 9.0) == ";FFMETADATA1\ntitle=Slopes\n"


@given(st.text(alphabet="ab=;#\\\n[]", max_size=12))
def test_a_title_cannot_end_its_line(title):
    line = metadata(title, [], 1.0).removeprefix(";FFMETADATA1\ntitle=").removesuffix("\n")
    read, rest = "", line
    while rest:
        assert rest[0] not in "=;#\n"
        taken = rest[1] if rest[0] == "\\" else rest[0]
        read, rest = read + taken, rest[1 + (rest[0] == "\\") :]
    assert read == title


@pytest.mark.parametrize(
    ("begins", "fine"),
    [([], True), ([0], True), ([0, 3], True), ([1, 3], False), ([0, 9], False), ([0, 4, 4], False), ([0, 5, 4], False)],
)
def test_chapters_are_in_order_from_the_begin_to_before_the_end(begins, fine):
    assert in_order([Chapter(begin_s=at, title="x") for at in begins], 9.0) is fine
