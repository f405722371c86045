"""What the page on the studio shows is true."""

import re
import subprocess
import sys
from pathlib import Path

from overnight.studio.markup import PARAGRAPH_S, PAUSE_S, Manner
from overnight.studio.speech.delivery import delivery_of

PAGE = (Path(__file__).parents[2] / "docs" / "concepts-studio.md").read_text()


def test_the_narration_of_the_page_is_spoken_and_rendered(tmp_path):
    (tmp_path / "program.py").write_text("\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.S)))
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    said = ["0 measured ['title', 'citation']", "True 0.0", "video.mp4 [(), ()] ()", "{'a': [], 'b': [], 'c': []}"]
    assert (done.returncode, done.stdout.splitlines()) == (0, said), done.stderr
    assert (tmp_path / "captions.srt").read_text().startswith("1\n00:00:00,000 --> ")
    assert {"video.mp4", "thumbnail_a.png", "thumbnail_b.png", "thumbnail_c.png"} <= {
        one.name for one in tmp_path.iterdir()
    }


def test_the_table_of_markers_says_how_they_sound():
    rows = dict(re.findall(r"^\| `\[(\w+)\]`[^|]*\| (.*) \|$", PAGE, re.M))
    assert {*rows} == {*Manner, "pause"}
    for manner in Manner:
        delivery, told = delivery_of(manner), rows[manner]
        change = round(abs(delivery.rate - 1) * 100)
        assert (f"{change} % {'faster' if delivery.rate > 1 else 'slower'}" in told) == (change > 0)
        assert (f"{abs(delivery.pitch):g} semitones" in told) == (abs(delivery.pitch) >= 1)
        assert (f"{delivery.gain_db:g} dB louder" in told) == (delivery.gain_db > 0)
        assert ("silence before" in told) == (delivery.lead_s > 0)
    assert f"{PAUSE_S:g} s of silence" in rows["pause"]
    assert f"a pause of {PARAGRAPH_S:g} s" in PAGE
