"""Videos are rendered by real programs: streams, times, captions and pictures are as asked; faults leave nothing."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from overnight.base.errors import ConfigError, MissingExtra, UserMistake
from overnight.studio import ffmpeg
from overnight.studio.captions import Caption, read, srt
from overnight.studio.errors import NoRoom, Stopped, Unreadable
from overnight.studio.filters import Chapter
from overnight.studio.measure import measured
from overnight.studio.probe import Subtitles, frame, probe
from overnight.studio.scenes import Scene
from overnight.studio.slides import fonts
from overnight.studio.slides.colours import contrast
from overnight.studio.slides.slide import Kind, Slide
from overnight.studio.slides.theme import DAYLIGHT, MIDNIGHT
from overnight.studio.thumbnails import thumbnails
from overnight.studio.video import Captions, Look, Sound, render

SIZE, FPS, LONG_S = (320, 180), 10, 6.03
LOOK = Look(size=SIZE, fps=FPS)
STEPS = Slide(kind=Kind.BULLETS, title="Three steps", bullets=("look", "step", "look again"), source="notes")
FULL = Slide(kind=Kind.TITLE, title="words that never end " * 60)
REVEALS = (2.0, 3.5, 4.5)
SCENES = (
    Scene(slide=Slide(kind=Kind.TITLE, title="Going downhill", text="in small steps"), begin_s=0.0, end_s=1.5),
    Scene(slide=STEPS, begin_s=1.5, end_s=5.0, reveals=REVEALS),
    Scene(slide=FULL, begin_s=5.0, end_s=LONG_S),
)
CAPTIONS = [
    Caption(begin_s=0.2, end_s=1.8, lines=("Machines learn", "by going downhill.")),
    Caption(begin_s=2.0, end_s=5.5, lines=("They take small steps.",)),
]
CHAPTERS = (Chapter(begin_s=0, title="Begin = one; two"), Chapter(begin_s=1.5, title="Steps"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("parts")
    (made / "captions.srt").write_text(srt(CAPTIONS))
    sound = f"aevalsrc=0.3*sin(300*2*PI*t)*between(mod(t\\,1)\\,0\\,0.7):d={LONG_S}:s=22050"
    ffmpeg.run(["-f", "lavfi", "-i", sound, made / "voice.wav"])
    ffmpeg.run(["-f", "lavfi", "-i", "sine=f=2000:d=2:r=44100", made / "music.wav"])
    return made


@pytest.fixture(scope="module")
def sound(folder):
    return Sound(voice=folder / "voice.wav")


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module")
def made(folder, sound, told):
    return render(
        SCENES,
        sound,
        folder / "video.mp4",
        look=LOOK,
        title="Downhill",
        captions=Captions(srt=folder / "captions.srt"),
        chapters=CHAPTERS,
        progress=lambda done_s, total_s: told.append((done_s, total_s)),
    )


@pytest.fixture(scope="module")
def seen(made):
    return measured(made.path, frozen_s=1.0)


def left_in(folder):
    return sorted(one.name for one in folder.iterdir())


def apart(one, other, box=None):
    """Return the share of pixels (0 to 1) in which two pictures differ, beyond what an encoder does to them."""
    from PIL import ImageChops

    both = (one.crop(box), other.crop(box)) if box else (one, other)
    found = ImageChops.difference(*both).convert("L").histogram()
    return sum(found[40:]) / sum(found)


def corners(box):
    return box.x, box.y, box.x + box.w, box.y + box.h


def level_db(path, hertz, filters=""):
    """Return how loud a video is around a frequency, in dB of full scale."""
    said = ffmpeg.run(
        ["-i", path, "-af", f"bandpass=f={hertz}:width_type=h:w=100{filters},volumedetect", "-vn", "-f", "null", "-"]
    )
    return float(said.partition("mean_volume: ")[2].split()[0])


def children():
    mine = Path(f"/proc/{os.getpid()}/task")
    return [pid for task in mine.iterdir() for pid in (task / "children").read_text().split()]


# What a video is


def test_a_video_has_pictures_sound_captions_and_chapters_and_is_as_long_as_the_sound(made, seen):
    media = seen.media
    assert (media.video.codec, media.video.width, media.video.height, media.video.fps) == ("h264", *SIZE, FPS)
    assert (media.audio.codec, media.audio.rate_hz, media.audio.channels) == ("aac", 48_000, 2)
    assert media.subtitles == (Subtitles(codec="mov_text", language="eng"),)
    assert media.video.duration_s == pytest.approx(LONG_S, abs=1 / FPS)
    assert media.audio.duration_s == pytest.approx(LONG_S, abs=1 / FPS)
    assert made.duration_s == pytest.approx(LONG_S, abs=0.01)
    assert made.frames == round(LONG_S * FPS)
    titles = [(one.title, one.begin_s) for one in media.chapters]
    assert titles == [("Begin = one; two", 0.0), ("Steps", 1.5)]
    assert media.chapters[-1].end_s == pytest.approx(LONG_S, abs=1 / FPS)


def test_captions_are_read_back_from_the_video_as_they_were(made, tmp_path):
    ffmpeg.run(["-i", made.path, "-map", "0:s", tmp_path / "back.srt"])
    back = read((tmp_path / "back.srt").read_text())
    assert [one.lines for one in back] == [one.lines for one in CAPTIONS]
    assert [one.begin_s for one in back] == pytest.approx([one.begin_s for one in CAPTIONS], abs=0.01)
    assert [one.end_s for one in back] == pytest.approx([one.end_s for one in CAPTIONS], abs=0.01)


def test_it_is_nowhere_black_and_never_stands_still(seen):
    assert [run for run in seen.black_runs if run.long_s > 1] == []
    assert [run for run in seen.frozen_runs if run.long_s > 3] == []


def test_the_first_slide_is_there_from_the_first_frame_on(made):
    assert apart(frame(made.path, 0.0), frame(made.path, 1.0)) < 0.02


def test_the_bar_shows_how_much_is_over(made):
    strip = (0, SIZE[1] - 1, SIZE[0], SIZE[1])
    for at_s in (1.0, 3.0, 5.0):
        row = frame(made.path, at_s).crop(strip).getcolors(SIZE[0])
        long = sum(count for count, (red, _, blue) in row if red > 180 > blue)
        assert long / SIZE[0] == pytest.approx(at_s / LONG_S, abs=0.04)


def test_text_is_within_the_frame_and_can_be_read_in_its_pixels(made):
    steps = made.shown[1]
    picture = frame(made.path, 4.9)
    assert {"Three steps", "look", "step", "look again"} <= {box.text for box in steps.boxes}
    for box in (box for one in made.shown for box in one.boxes):
        assert box.x >= 0 and box.y >= 0 and box.x + box.w <= SIZE[0] and box.y + box.h <= SIZE[1]
    for box in steps.boxes:
        if box.h < 8:
            continue  # thinner strokes than a pixel have no colour of their own
        colours = [colour for _, colour in picture.crop(corners(box)).getcolors(99_999)]
        assert max(contrast(one, other) for one in colours for other in colours) >= 4.5, box


def test_each_bullet_appears_at_its_instant(made):
    boxes = {box.text: corners(box) for box in made.shown[1].boxes}
    for text, at_s in zip(STEPS.bullets, REVEALS, strict=True):
        before, after = frame(made.path, at_s - 0.1), frame(made.path, at_s + 0.4)
        assert apart(before, after, boxes[text]) > 0.03
    assert made.shown[1].scene.reveals == pytest.approx(REVEALS, abs=0.5 / FPS)


def test_a_slide_becomes_the_next_one_when_it_is_due(made):
    assert apart(frame(made.path, 1.0), frame(made.path, 1.4)) < 0.02
    assert apart(frame(made.path, 1.4), frame(made.path, 2.0)) > 0.02


def test_what_had_no_room_is_told_with_the_scene_that_it_belongs_to(made):
    assert [bool(one.overflow) for one in made.shown] == [False, False, True]
    assert made.shown[2].scene.slide is FULL


def test_how_far_it_is_only_grows_and_ends_with_all_of_it(made, told):
    done = [done_s for done_s, _ in told]
    assert done == sorted(done)
    assert done[-1] == pytest.approx(LONG_S, abs=1 / FPS)
    assert {total for _, total in told} == {made.frames / FPS}


def test_nothing_but_the_video_is_left(made, folder):
    assert left_in(folder) == ["captions.srt", "music.wav", "video.mp4", "voice.wav"]
    assert made.notes == ()


def test_one_worker_makes_the_same_frames_as_two(made, sound, tmp_path):
    alone = render(SCENES, sound, tmp_path / "alone.mp4", look=LOOK, workers=1)
    assert alone.frames == made.frames
    assert probe(alone.path).video.duration_s == probe(made.path).video.duration_s
    assert probe(alone.path).subtitles == probe(alone.path).chapters == ()
    for at_s in (0.7, 2.7, 5.6):
        assert apart(frame(alone.path, at_s), frame(made.path, at_s)) == 0


# Captions, music and fonts


def test_burnt_captions_are_seen_in_the_lower_part_while_they_are_said(made, folder, sound, tmp_path):
    burnt = render(
        SCENES,
        sound,
        tmp_path / "burnt.mp4",
        look=replace(LOOK, theme=MIDNIGHT),
        captions=Captions(srt=folder / "captions.srt", burnt=True),
    )
    assert probe(burnt.path).subtitles == ()
    lower, upper = (0, SIZE[1] * 3 // 4, SIZE[0], SIZE[1] - 4), (0, 0, SIZE[0], SIZE[1] // 2)
    for at_s, there in ((1.0, True), (1.9, False), (3.2, True), (5.8, False)):
        with_them, without = frame(burnt.path, at_s), frame(made.path, at_s)
        assert (apart(with_them, without, lower) > 0.005) == there, at_s
        assert apart(with_them, without, upper) < 0.005
    white = [colour for _, colour in frame(burnt.path, 3.2).crop(lower).getcolors(99_999) if min(colour) > 200]
    assert white


def test_music_is_heard_under_the_voice_from_begin_to_end(made, folder, sound, tmp_path):
    mixed = render(SCENES, replace(sound, music=folder / "music.wav"), tmp_path / "mixed.mp4", look=LOOK)
    assert probe(mixed.path).audio.duration_s == pytest.approx(LONG_S, abs=1 / FPS)
    voice, music = level_db(mixed.path, 300), level_db(mixed.path, 2000)
    assert 15 < voice - music < 40
    assert music > level_db(made.path, 2000) + 10
    assert level_db(mixed.path, 2000, ",atrim=2.5:3.0") > music - 12
    assert voice == pytest.approx(level_db(made.path, 300), abs=1)


def test_music_that_swells_comes_up_where_nobody_speaks(folder, tmp_path):
    voice = tmp_path / "voice.wav"
    said = f"aevalsrc=0.3*sin(300*2*PI*t)*between(t\\,0\\,{LONG_S / 2}):d={LONG_S}:s=22050"
    ffmpeg.run(["-f", "lavfi", "-i", said, voice])
    sound = Sound(voice=voice, music=folder / "music.wav", swells=True)
    mixed = render(SCENES, sound, tmp_path / "mixed.mp4", look=LOOK)
    spoken, alone = level_db(mixed.path, 300, ",atrim=1:3"), level_db(mixed.path, 2000, ",atrim=4:4.5")
    under = level_db(mixed.path, 2000, ",atrim=1:3")
    assert spoken - under >= 20 and alone - under >= 15


def test_captions_are_not_burnt_without_a_font_to_burn_them_in(folder, sound, tmp_path, monkeypatch):
    monkeypatch.setitem(fonts._PACKAGED, "text", ("no_such_fonts", "a.ttf"))
    burnt = Captions(srt=folder / "captions.srt", burnt=True)
    with pytest.raises(MissingExtra, match=r"burnt captions need the fonts .* pip install 'overnight\[studio\]'"):
        render(SCENES, sound, tmp_path / "a.mp4", look=LOOK, captions=burnt)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("content", [None, b"no font at all"], ids=["not there", "broken"])
def test_a_broken_font_is_told_and_another_one_is_taken(content, sound, tmp_path):
    font = tmp_path / "bad.ttf"
    if content is not None:
        font.write_bytes(content)
    look = replace(LOOK, theme=replace(DAYLIGHT, name="own", text_font=str(font)))
    made = render([Scene(slide=STEPS, begin_s=0, end_s=LONG_S)], sound, tmp_path / "a.mp4", look=look)
    [note] = made.notes
    assert note.startswith(f"theme 'own': font {str(font)!r} cannot be read (")
    assert note.endswith("); another one is taken")
    assert "look again" in {box.text for box in made.shown[0].boxes}


# What goes wrong


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        ({"look": replace(LOOK, size=(321, 180))}, UserMistake, "size: 321x180: both are even, and 64 at least"),
        ({"look": replace(LOOK, fps=0)}, UserMistake, "fps: 0, workers: 2: both are 1 at least"),
        ({"workers": 0}, UserMistake, "fps: 10, workers: 0: both are 1 at least"),
        ({"look": replace(LOOK, theme=replace(MIDNIGHT, text="#202020"))}, ConfigError, "text upon background has a"),
        ({"chapters": [Chapter(begin_s=1, title="Late")]}, UserMistake, "chapters begin one after the other"),
        ({"scenes": SCENES[:1]}, UserMistake, r"the last scene ends at 1.50 s, the sound at 6.03 s"),
        ({"captions": Captions(srt=Path("none.srt"))}, Unreadable, r"none\.srt: cannot be read: FileNotFoundError"),
        ({"captions": Captions(srt=Path(__file__))}, Unreadable, r"test_studio_video\.py: holds no captions"),
    ],
)
def test_what_cannot_be_rendered_is_one_line_before_anything_is_done(wrong, error, said, sound, tmp_path):
    asked = {"scenes": SCENES, "look": LOOK} | wrong
    with pytest.raises(error, match=said) as caught:
        render(asked.pop("scenes"), sound, tmp_path / "a.mp4", **asked)
    assert "\n" not in str(caught.value)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("content", [None, b"", b"no media at all", "captions"], ids=str)
@pytest.mark.parametrize("which", ["voice", "music"])
def test_a_sound_that_is_none_is_named(which, content, folder, sound, tmp_path):
    bad = tmp_path / "bad.wav"
    if content == "captions":
        bad = folder / "captions.srt"
    elif content is not None:
        bad.write_bytes(content)
    before = left_in(tmp_path)
    with pytest.raises(Unreadable, match=rf"{bad.name}: (cannot be read: \w+|holds no sound)"):
        render(SCENES, replace(sound, **{which: bad}), tmp_path / "a.mp4", look=LOOK)
    assert left_in(tmp_path) == before


def test_a_cancelled_video_leaves_no_file_no_folder_and_no_process(sound, tmp_path):
    old = tmp_path / "video.mp4"
    old.write_bytes(b"the one of yesterday")
    before, told = set(children()), []
    with pytest.raises(Stopped, match="asked to stop"):
        render(
            SCENES,
            sound,
            old,
            look=replace(LOOK, fps=50),
            progress=lambda done_s, total_s: told.append(done_s),
            cancelled=lambda: bool(told),
        )
    assert told
    assert left_in(tmp_path) == ["video.mp4"]
    assert old.read_bytes() == b"the one of yesterday"
    assert set(children()) <= before


def test_nothing_is_begun_where_it_is_cancelled_already(sound, tmp_path):
    with pytest.raises(Stopped, match="rendering was asked to stop"):
        render(SCENES, sound, tmp_path / "a.mp4", look=LOOK, cancelled=lambda: True)
    assert left_in(tmp_path) == []


PROGRAM = """
import sys
from pathlib import Path
from overnight.studio.errors import NoRoom
from overnight.studio.scenes import Scene
from overnight.studio.slides.slide import Kind, Slide
from overnight.studio.video import Look, Sound, render
scenes = [Scene(slide=Slide(kind=Kind.TITLE, title="Slopes"), begin_s=0, end_s=6)]
try:
    render(scenes, Sound(voice=Path(sys.argv[1])), Path(sys.argv[2]), look=Look(size=(320, 180), fps=10))
except NoRoom as error:
    print(error)
"""


@pytest.mark.parametrize("size", [1_000, 6_000, 30_000], ids=["pictures", "parts", "the whole"])
def test_a_disk_that_gets_full_is_one_line_and_nothing_is_left(size, sound, tmp_path):
    import resource

    child = subprocess.run(
        [sys.executable, "-B", "-c", PROGRAM, str(sound.voice), str(tmp_path / "a.mp4")],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (child.returncode, child.stderr) == (0, "")
    [line] = child.stdout.splitlines()
    assert line == f"{tmp_path / 'a.mp4'}: the disk is full; make room, then do it again"
    assert left_in(tmp_path) == []


# Thumbnails


def test_thumbnails_are_three_different_pictures(tmp_path):
    from PIL import Image

    lost = thumbnails("Going downhill", "Learn it in three steps", STEPS, tmp_path)
    assert lost == {"a": [], "b": [], "c": []}
    assert left_in(tmp_path) == [f"thumbnail_{name}.png" for name in "abc"]
    pictures = [Image.open(tmp_path / f"thumbnail_{name}.png").convert("RGB") for name in "abc"]
    assert {picture.size for picture in pictures} == {(1280, 720)}
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert apart(pictures[one], pictures[other]) > 0.02


def test_without_a_picture_the_third_thumbnail_is_the_promise_and_what_has_no_room_is_told(tmp_path):
    lost = thumbnails("Going downhill", "promises " * 200, None, tmp_path)
    assert (lost["a"], lost["b"], bool(lost["c"])) == ([], [], True), (
        "what is too long for a thumb is not on the second"
    )
    lost = thumbnails("downhill " * 90, "Learn it", None, tmp_path)
    assert (bool(lost["a"]), lost["c"]) == (True, [])


def test_a_thumbnail_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    from PIL import Image

    thumbnails("Going downhill", "Learn it", None, tmp_path)
    before = (tmp_path / "thumbnail_a.png").read_bytes()

    def full(self, file, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(NoRoom, match=r"thumbnail_a\.png: the disk is full"):
        thumbnails("Going uphill", "Learn it", None, tmp_path)
    assert (tmp_path / "thumbnail_a.png").read_bytes() == before
    assert left_in(tmp_path) == [f"thumbnail_{name}.png" for name in "abc"]
