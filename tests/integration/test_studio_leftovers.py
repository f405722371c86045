"""What a render that was killed has left behind is gone after the next one, and nothing else is."""

import wave

from overnight.studio.scenes import Scene
from overnight.studio.slides.slide import Kind, Slide
from overnight.studio.video import Look, Sound, render


def test_the_next_render_removes_what_a_killed_one_has_left(tmp_path):
    voice, out = tmp_path / "voice.wav", tmp_path / "video[1].mp4"
    with wave.open(str(voice), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(22_050)
        file.writeframes(bytes(2 * 22_050))
    left = tmp_path / ".video[1]-abc"
    left.mkdir()
    (left / "part0000.mp4").write_bytes(b"half")
    (tmp_path / ".video[1].xyz.mp4").write_bytes(b"half")
    (tmp_path / ".video1.xyz.mp4").write_bytes(b"somebody else's")
    scene = Scene(slide=Slide(kind=Kind.TITLE, title="A title"), begin_s=0.0, end_s=1.0)
    render([scene], Sound(voice=voice), out, look=Look(size=(160, 90), fps=5), workers=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".video1.xyz.mp4", "video[1].mp4", "voice.wav"]
