"""Scenes become frames: as many as the sound is long, each part at its instant; others are refused."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.base.errors import UserMistake
from overnight.studio.scenes import Scene, segments
from overnight.studio.slides.slide import Kind, Slide

TITLE = Slide(kind=Kind.TITLE, title="Going downhill")
THREE = Slide(kind=Kind.BULLETS, title="Steps", bullets=("look", "step", "look again"))


def scene(begin_s, end_s, *reveals, slide=None):
    return Scene(slide=slide or (THREE if reveals else TITLE), begin_s=begin_s, end_s=end_s, reveals=reveals)


def stills(found):
    return [(still.shown, still.frame) for still in found.stills]


@given(
    st.lists(st.floats(0.0, 5.0, allow_nan=False), min_size=1, max_size=12).filter(lambda all_s: sum(all_s) > 0.1),
    st.integers(1, 60),
    st.floats(-0.9, 0.9),
)
def test_the_frames_of_all_segments_add_up_to_the_sound_and_follow_each_other(lengths, fps, tail_s):
    begins = [sum(lengths[:number]) for number in range(len(lengths) + 1)]
    scenes = [scene(begin, end) for begin, end in pairwise(begins)]
    duration_s = max(0.05, begins[-1] + tail_s)
    found = segments(scenes, duration_s, fps)
    assert sum(one.frames for one in found) == max(1, round(duration_s * fps))
    assert [one.number for one in found] == list(range(len(found)))
    ends = [0, *(one.start + one.frames for one in found)]
    assert [one.start for one in found] == ends[:-1]
    assert all(one.frames > 0 for one in found)


@given(st.lists(st.floats(2.0, 6.0), max_size=3), st.integers(1, 60))
def test_each_part_appears_at_the_frame_of_its_instant(at_s, fps):
    reveals = sorted(at_s)
    *_, found = segments([scene(0, 2), scene(2, 6, *reveals, slide=THREE)], 6.0, fps)
    assert found.stills[0].frame == 0
    assert found.stills[-1].shown == 3
    frames = [still.frame for still in found.stills]
    assert frames == sorted(set(frames))
    due = {min(found.frames - 1, max(0, round(at * fps) - found.start)) for at in reveals}
    assert set(frames) - {0} == due - {0}


def test_without_instants_all_is_there_from_the_begin():
    [found] = segments([scene(0, 3, slide=THREE)], 3.0, 10)
    assert stills(found) == [(3, 0)]


def test_the_last_instant_brings_all_parts_that_are_left():
    [found] = segments([scene(0, 3, 0.5, 1.0)], 3.0, 10)
    assert stills(found) == [(0, 0), (1, 5), (3, 10)]


def test_what_appears_at_the_same_frame_is_seen_at_once():
    [found] = segments([scene(0, 3, 0.0, 1.0, 1.01)], 3.0, 10)
    assert stills(found) == [(1, 0), (3, 10)]


def test_a_scene_begins_at_the_frame_that_is_nearest():
    found = segments([scene(0, 1.08), scene(1.08, 1.52), scene(1.52, 2)], 2.0, 10)
    assert [one.start for one in found] == [0, 11, 15]


def test_a_scene_shorter_than_a_frame_is_left_out():
    found = segments([scene(0, 1), scene(1, 1.01), scene(1.01, 2)], 2.0, 10)
    assert [(one.start, one.frames) for one in found] == [(0, 10), (10, 10)]


@pytest.mark.parametrize(
    ("scenes", "said"),
    [
        ([], "a video needs a scene: there is none"),
        ([scene(0.5, 4)], r"scene 1 \(title, 'Going downhill'\) begins at 0.50 s; what is before it ends at 0.00 s"),
        ([scene(0, 2), scene(2.5, 4)], r"scene 2 .* begins at 2.50 s; what is before it ends at 2.00 s"),
        ([scene(0, 2), scene(1.5, 4)], r"scene 2 .* begins at 1.50 s; what is before it ends at 2.00 s"),
        ([scene(0, 2), scene(2, 1), scene(1, 4)], r"scene 2 .* ends at 1.00 s, before it begins at 2.00 s"),
        ([scene(0, 4, 1, 2, 3, 3.5)], r"scene 1 .* has 3 parts to show, and 4 instants for them"),
        ([scene(0, 4, 2, 1)], r"scene 1 .* shows its parts out of order: 2.00, 1.00 s"),
        ([scene(0, 2), scene(2, 4, 1.0)], r"scene 2 .* shows a part while it is not seen: 2.00 to 4.00 s"),
        ([scene(0, 2.5)], "the last scene ends at 2.50 s, the sound at 4.00 s"),
        ([scene(0, 5.5)], "the last scene ends at 5.50 s, the sound at 4.00 s"),
    ],
)
def test_scenes_that_do_not_fit_the_sound_are_refused_in_a_line_that_says_where(scenes, said):
    with pytest.raises(UserMistake, match=f"^{said}$"):
        segments(scenes, 4.0, 25)
