"""Narrations are spoken into files by real processes: pace, pauses and loudness follow the markers; faults are told."""

import resource
import subprocess
import sys
import wave

import numpy as np
import pytest

from overnight.base.errors import MissingExtra
from overnight.studio.captions import cut, late_by
from overnight.studio.errors import NothingToSay, SpeechFailed, Stopped
from overnight.studio.loudness import LoudnessMissed, TooFaint, measured, normalise
from overnight.studio.markup import Cue, Manner, Pause, Said, Show, parse
from overnight.studio.speech.espeak import Espeak
from overnight.studio.speech.narrate import PIECE_CHARS, narrate
from overnight.studio.speech.ports import Clip

SENTENCE = "The slope tells the way, and a small step follows it."


def samples(path):
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float), file.getframerate()


def said_in(tmp_path, text, **options):
    return narrate(Espeak(), parse(text).pieces, tmp_path / "voice.wav", **options)


def level_db(found, first, last):
    pcm, rate_hz = samples(found.wav)
    part = pcm[round(found.words[first].begin_s * rate_hz) : round(found.words[last].end_s * rate_hz)]
    return 20 * np.log10(np.sqrt(np.mean(part**2)))


class Told:
    """Speaks what it is given, for faults that no real engine can be asked for."""

    name = "told"

    def __init__(self, *clips):
        self.clips = list(clips)

    def say(self, text, manner):
        return self.clips.pop(0)


def tone(seconds, rate_hz=8000, words=None, size=8000):
    pcm = (size * np.sin(np.arange(round(seconds * rate_hz)) / 4)).astype(np.int16)
    return Clip(pcm=pcm, rate_hz=rate_hz, words=words)


def test_a_narration_is_one_file_with_measured_words_and_cues_at_the_instants_of_their_words(tmp_path):
    found = said_in(tmp_path, f"[show title: Slopes] {SENTENCE} [pause 1.5] [show table: a | b] Now this.")
    pcm, rate_hz = samples(found.wav)
    assert (rate_hz, found.timed, found.engine) == (22_050, "measured", "espeak-ng en-us")
    assert found.duration_s == pytest.approx(len(pcm) / rate_hz)
    assert " ".join(word.text for word in found.words) == f"{SENTENCE} Now this."
    now = found.words[-2]
    assert (found.cues[0].cue.show, found.cues[0].at_s) == (Show.TITLE, 0.0)
    assert found.cues[1].at_s == pytest.approx(now.begin_s, abs=0.1)
    assert now.begin_s - found.words[-3].end_s > 1.5
    silent = pcm[round(found.words[-3].end_s * rate_hz) + 3000 : round(found.cues[1].at_s * rate_hz)]
    assert np.abs(silent).max() == 0
    assert late_by(cut(found.words), found.words).worst_s == 0


@pytest.mark.parametrize(
    ("manner", "slower", "louder_db"),
    [
        (Manner.ENTHUSIASTIC, 1 / 1.1, 1.5),
        (Manner.CAUTIONARY, 1 / 0.88, -1.0),
        (Manner.EXPLANATORY, 1 / 0.94, 0.0),
        (Manner.EMPHASIZE, 1 / 0.85, 3.0),
    ],
)
def test_markers_change_pace_loudness_and_pauses(tmp_path, manner, slower, louder_db):
    found = said_in(tmp_path, f"{SENTENCE} [{manner}] {SENTENCE} [plain] {SENTENCE}")
    size = len(SENTENCE.split())
    plain_s, marked_s = (found.words[at + size - 1].end_s - found.words[at].begin_s for at in (0, size))
    assert marked_s / plain_s == pytest.approx(slower, rel=0.07)
    assert level_db(found, size, 2 * size - 1) - level_db(found, 0, size - 1) == pytest.approx(louder_db, abs=1.5)
    before, after = (found.words[at].begin_s - found.words[at - 1].end_s for at in (size, 2 * size))
    assert after > 0.35
    assert before > (0.35 if manner in (Manner.ENTHUSIASTIC, Manner.EXPLANATORY) else 0.45)


def test_cautionary_words_wait_longer_than_plain_ones(tmp_path):
    def gaps(text):
        words = said_in(tmp_path, text).words
        return words[2].begin_s - words[1].end_s

    assert gaps("Take care. [cautionary] Mind steps.") - gaps(
        "Take care. [plain] [pause 0.001] Mind steps."
    ) == pytest.approx(0.25, abs=0.08)


def test_a_narration_may_begin_with_silence_and_cues(tmp_path):
    found = said_in(tmp_path, "[pause 2] [show title: A] [plain] Hello there.")
    assert found.cues[0].at_s == pytest.approx(2.0)
    assert found.words[0].begin_s == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("text", ["", "[enthusiastic] [pause 2] [show title: A]", "… — !"])
def test_nothing_to_say_is_told_and_no_file_is_made(tmp_path, text):
    with pytest.raises(NothingToSay, match="there is nothing to say"):
        said_in(tmp_path, text)
    assert list(tmp_path.iterdir()) == []


def test_without_numpy_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(MissingExtra, match=r"pip install 'overnight\[studio\]'"):
        said_in(tmp_path, SENTENCE)


def test_an_engine_that_finds_nothing_to_say_leaves_no_file(tmp_path):
    silence = Clip(pcm=np.zeros(800, np.int16), rate_hz=8000, words=())
    with pytest.raises(NothingToSay, match="told found nothing that it could say"):
        narrate(Told(silence), [Said(text="Shh")], tmp_path / "voice.wav")
    assert list(tmp_path.iterdir()) == []


def test_words_without_times_are_estimated_where_the_sound_is(tmp_path):
    pieces = [Pause(seconds=1.0), Said(text="One, two three."), Cue(show=Show.TITLE, content="A")]
    quiet = np.zeros(4000, np.int16)
    clip = Clip(pcm=np.concatenate([quiet, tone(3.0).pcm, quiet]), rate_hz=8000, words=None)
    found = narrate(Told(clip), pieces, tmp_path / "voice.wav")
    assert found.timed == "estimated"
    assert (found.words[0].begin_s, found.words[-1].end_s) == (pytest.approx(1.0), pytest.approx(4.0, abs=0.06))
    assert found.cues[0].at_s == pytest.approx(found.duration_s)


def test_an_engine_that_changes_its_rate_is_refused_and_the_old_file_stays(tmp_path):
    path = tmp_path / "voice.wav"
    path.write_bytes(b"old")
    with pytest.raises(SpeechFailed, match="at 8000 Hz first, and then at 16000 Hz"):
        narrate(Told(tone(0.1), tone(0.1, 16_000)), parse("One. [emphasize] Two.").pieces, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_it_is_stopped_between_pieces_and_leaves_nothing(tmp_path):
    shares = []
    text = " ".join([SENTENCE] * 60)
    with pytest.raises(Stopped, match=r"voice\.wav: was asked to stop"):
        said_in(tmp_path, text, progress=shares.append, cancelled=lambda: len(shares) == 2)
    assert 0 < shares[0] < shares[1] < 1
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_in_the_middle_is_told_and_nothing_is_left(tmp_path):
    program = (
        "import sys; from pathlib import Path; from overnight.studio.markup import parse\n"
        "from overnight.studio.speech.espeak import Espeak; from overnight.studio.speech.narrate import narrate\n"
        "from overnight.studio.errors import NoRoom\n"
        "try: narrate(Espeak(), parse(sys.argv[2]).pieces, Path(sys.argv[1]))\n"
        "except NoRoom as error: print(error)"
    )
    size = 300_000
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(tmp_path / "voice.wav"), " ".join([SENTENCE] * 20)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )
    assert child.stdout.endswith("voice.wav: the disk is full; make room, then do it again\n")
    assert child.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_a_script_of_ten_thousand_words_is_spoken_in_pieces(tmp_path):
    """With an engine that takes no time: how much it is given at once, and what is kept, are what is asked here."""
    lengths = []

    class Fast:
        name = "fast"

        def say(self, text, manner):
            lengths.append(len(text))
            return tone(len(text) / 100, 8000)

    text = "\n\n".join(" ".join([SENTENCE] * 10) for _ in range(91))
    count = len(text.split())
    assert count > 10_000
    found = narrate(Fast(), parse(text).pieces, tmp_path / "voice.wav")
    assert max(lengths) <= PIECE_CHARS
    assert len(found.words) == count
    pcm, rate_hz = samples(found.wav)
    assert len(pcm) / rate_hz == pytest.approx(found.duration_s)


# -- loudness


@pytest.mark.parametrize("lufs", [-16.0, -23.0])
def test_a_narration_is_made_as_loud_as_is_asked_for_and_measured_afterwards(tmp_path, lufs):
    found = said_in(tmp_path, f"{SENTENCE} [emphasize] {SENTENCE} [plain] {SENTENCE}")
    told = normalise(found.wav, tmp_path / "loud.wav", lufs)
    assert told.integrated_lufs == pytest.approx(lufs, abs=0.5)
    assert told.true_peak_dbtp <= -1.0
    assert measured(tmp_path / "loud.wav") == told
    before, after = samples(found.wav), samples(tmp_path / "loud.wav")
    assert (len(before[0]), before[1]) == (len(after[0]), after[1]), "the times of words still hold"
    lag = np.correlate(after[0][20_000:40_000], before[0][20_000:40_000], "full").argmax() - 19_999
    assert abs(lag) <= 2
    size = len(SENTENCE.split())
    loud = found.__class__(**{**vars(found), "wav": tmp_path / "loud.wav"})
    assert level_db(loud, size, 2 * size - 1) - level_db(loud, 0, size - 1) > 1.5, "what is stressed stays louder"


def test_what_cannot_be_made_so_loud_or_is_too_faint_is_told_and_leaves_nothing(tmp_path):
    spoken = said_in(tmp_path, SENTENCE).wav
    with pytest.raises(LoudnessMissed, match=r"voice\.wav: cannot be made -1 LUFS.*it got to -\d+\.\d"):
        normalise(spoken, tmp_path / "out.wav", -1.0)
    short = narrate(Told(tone(0.1)), [Said(text="x")], tmp_path / "short.wav").wav
    with pytest.raises(TooFaint, match=r"short\.wav: holds no sound that is loud and long enough"):
        normalise(short, tmp_path / "out.wav")
    assert {one.name for one in tmp_path.iterdir()} == {"voice.wav", "short.wav"}


def test_a_full_disk_while_it_is_made_louder_is_told(tmp_path):
    found = said_in(tmp_path, SENTENCE)
    program = (
        "import sys; from pathlib import Path; from overnight.studio.loudness import normalise\n"
        "from overnight.studio.errors import NoRoom\n"
        "try: normalise(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "except NoRoom as error: print(error)"
    )
    child = subprocess.run(
        [sys.executable, "-c", program, str(found.wav), str(tmp_path / "out.wav")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert "the disk is full; make room" in child.stdout
    assert [one.name for one in tmp_path.iterdir()] == ["voice.wav"]
