"""All engines that speak keep to the suite; and what each one alone can do wrong."""

import json
import stat
import sys
from pathlib import Path

import pytest

from overnight.base.errors import ConfigError, MissingExtra
from overnight.studio.errors import SpeechAway, SpeechFailed
from overnight.studio.markup import Manner
from overnight.studio.speech import elevenlabs, espeak, openai, piper, services
from overnight.studio.speech.choosing import VoiceSettings, chosen
from overnight.studio.speech.elevenlabs import ElevenLabs
from overnight.studio.speech.espeak import Espeak
from overnight.studio.speech.openai import OpenAi
from overnight.studio.speech.piper import Piper
from overnight.testing.speech import TEXT, SpeechConformance, heard_s, pitch_hz
from speech_server import KEY, SpeechServer, wav_of

PIPER = f"""#!{sys.executable} -IS
import argparse, sys
sys.path[:] = {sys.path!r}
asked = argparse.ArgumentParser()
for name in ("model", "sentence_silence", "length_scale"):
    asked.add_argument(f"--{{name}}")
asked.add_argument("--output_raw", action="store_true")
told = asked.parse_args()
assert told.output_raw and told.model.endswith(".onnx")
if "fail" in told.model:
    sys.exit("no such voice")
from overnight.studio.markup import Manner
from overnight.studio.speech.espeak import Espeak
for line in sys.stdin:
    clip = Espeak(speed=1 / float(told.length_scale)).say(line, Manner.PLAIN)
    sys.stdout.buffer.write(clip.pcm.tobytes())
"""
"""Understands the options of Piper, and speaks with another voice."""


@pytest.fixture
def server():
    with SpeechServer() as one:
        yield one


def openai_at(server, **options):
    return OpenAi({openai.KEY: KEY}, base_url=f"{server.url}/v1", **options)


def elevenlabs_at(server, **options):
    return ElevenLabs({elevenlabs.KEY: KEY}, base_url=server.url, **options)


def piper_in(folder, voice="plain"):
    program = folder / "piper"
    program.write_text(PIPER)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    file = folder / f"{voice}.onnx"
    file.write_bytes(b"weights")
    (folder / f"{voice}.onnx.json").write_text(
        json.dumps({"audio": {"sample_rate": 22050}, "inference": {"length_scale": 1.0}})
    )
    return file, {"PATH": str(folder)}


class TestEspeak(SpeechConformance):
    def build(self, folder):
        return Espeak()


class TestOpenAi(SpeechConformance):
    @pytest.fixture(autouse=True)
    def _served(self, server):
        self.server = server

    def build(self, folder):
        return openai_at(self.server)


class TestElevenLabs(SpeechConformance):
    @pytest.fixture(autouse=True)
    def _served(self, server):
        self.server = server

    def build(self, folder):
        return elevenlabs_at(self.server)


class TestPiper(SpeechConformance):
    """The program is a stand-in that understands Piper's options: its own voices are no part of the tests."""

    def build(self, folder):
        voice, variables = piper_in(folder)
        return Piper(variables, voice=voice)


# -- espeak-ng


def test_espeak_is_higher_when_enthusiastic_and_lower_when_cautionary():
    high, plain, low = (
        pitch_hz(Espeak().say(TEXT, manner)) for manner in (Manner.ENTHUSIASTIC, Manner.PLAIN, Manner.CAUTIONARY)
    )
    assert high / plain > 2 ** (1.5 / 12)
    assert low / plain < 2 ** (-1 / 12)


def test_espeaks_words_are_where_the_sound_is():
    import numpy as np

    clip = Espeak().say("Stop. Listen carefully, then go.", Manner.PLAIN)
    loud = np.abs(clip.pcm.astype(int)) > 300
    inside = np.zeros(len(clip.pcm), bool)
    for word in clip.words:
        inside[round(word.begin_s * clip.rate_hz) : round(word.end_s * clip.rate_hz)] = True
        assert loud[round(word.begin_s * clip.rate_hz) : round(word.end_s * clip.rate_hz)].mean() > 0.4
    # Sound fades a little after a word.
    assert loud[~inside].mean() < 0.1
    gap = clip.words[1].begin_s - clip.words[0].end_s
    assert gap > 0.2, "a sentence ends after the first word"


@pytest.mark.parametrize(
    ("language", "text"), [("de", "Schöne Grüße aus der Küche."), ("fr", "C'est la même chose, là-bas.")]
)
def test_espeak_speaks_other_languages_with_their_letters(language, text):
    clip = Espeak(language=language).say(text, Manner.PLAIN)
    assert " ".join(word.text for word in clip.words) == text
    assert heard_s(clip) > 1


def test_a_voice_that_there_is_not_is_one_line():
    with pytest.raises(SpeechFailed, match=r"^espeak-ng: espeak-ng has no voice 'xx-none'$"):
        Espeak(language="xx-none").say("Hello.", Manner.PLAIN)


def test_a_voice_that_speaks_at_another_rate_is_refused(monkeypatch):
    monkeypatch.setattr(espeak, "RATE_HZ", 16_000)
    with pytest.raises(SpeechFailed, match="speaks 'en-us' at 22050 Hz, and not at 16000"):
        Espeak().say("Hello.", Manner.PLAIN)


def test_without_the_library_it_says_what_to_install_and_what_still_works(monkeypatch):
    monkeypatch.setattr(espeak, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"overnight\[studio\].*OPENAI_API_KEY.*captions still cut"):
        chosen(VoiceSettings(), {})


def test_the_library_is_not_loaded_by_this_process():
    Espeak().say("Hello.", Manner.PLAIN)
    assert "libespeak-ng" not in Path("/proc/self/maps").read_text()


# -- services


def test_openai_is_told_the_manner_in_words_and_pace(server):
    openai_at(server, voice="nova", speed=1.2).say(TEXT, Manner.CAUTIONARY)
    path, body = server.asked[0]
    assert path == "/v1/audio/speech"
    assert (body["model"], body["voice"], body["input"], body["response_format"]) == (
        "gpt-4o-mini-tts",
        "nova",
        TEXT,
        "wav",
    )
    assert body["speed"] == pytest.approx(1.2 * 0.88)
    assert "cautionary" in body["instructions"]
    openai_at(server, model="tts-1").say("One.", Manner.CAUTIONARY)
    assert "instructions" not in server.asked[1][1]


def test_a_wav_file_of_unknown_length_is_read_to_its_end(server):
    whole = openai_at(server).say("One two three.", Manner.PLAIN)
    server.streamed = True
    assert openai_at(server).say("One two three.", Manner.PLAIN).pcm.tolist() == whole.pcm.tolist()


def test_of_a_wav_file_with_two_channels_the_first_is_taken(server):
    clip = Espeak().say("One two three.", Manner.PLAIN)
    server.raw = b"%bLIST\x03\x00\x00\x00abc\x00%b" % ((whole := wav_of(clip, channels=2))[:12], whole[12:])
    assert openai_at(server).say("One two three.", Manner.PLAIN).pcm.tolist() == clip.pcm.tolist()


@pytest.mark.parametrize("bits", [8, 24])
def test_a_wav_file_of_other_samples_is_refused(server, bits):
    whole = bytearray(wav_of(Espeak().say("One.", Manner.PLAIN)))
    whole[34:36] = bits.to_bytes(2, "little")
    server.raw = bytes(whole)
    with pytest.raises(SpeechAway, match="did not answer with speech: its samples are not 16-bit PCM"):
        openai_at(server).say("One.", Manner.PLAIN)


def test_elevenlabs_is_told_the_manner_in_settings_and_its_times_are_measured(server):
    clip = elevenlabs_at(server, voice="a/b", model="m").say(TEXT, Manner.ENTHUSIASTIC)
    path, body = server.asked[0]
    assert path.startswith("/v1/text-to-speech/a%2Fb/with-timestamps")
    assert (body["model_id"], body["voice_settings"]["stability"]) == ("m", 0.3)
    assert clip.words
    spoken = Espeak(speed=1.1).say(TEXT, Manner.PLAIN)
    assert [word.begin_s for word in clip.words] == pytest.approx([word.begin_s for word in spoken.words], abs=0.01)


def test_times_of_another_text_are_not_taken_for_those_of_this_one(server):
    told = json.loads(
        server.answer(
            "/v1/text-to-speech/v/with-timestamps?output_format=pcm_22050",
            {"text": "Two.", "voice_settings": {"speed": 1}},
            {"xi-api-key": KEY},
        )[1]
    )
    server.raw = json.dumps(told).encode()
    clip = elevenlabs_at(server).say("2.", Manner.PLAIN)
    assert clip.words is None
    assert len(clip.pcm) > 0


@pytest.mark.parametrize("build", [openai_at, elevenlabs_at], ids=["openai", "elevenlabs"])
class TestServices:
    @pytest.mark.parametrize(
        ("status", "error"),
        [(401, ConfigError), (403, ConfigError), (400, SpeechFailed), (429, SpeechAway), (503, SpeechAway)],
    )
    def test_what_it_refuses_is_told_in_its_words_without_the_key(self, server, build, status, error):
        server.fails = (status, json.dumps({"error": {"message": f"cannot, {KEY}\nsorry"}}).encode())
        with pytest.raises(error, match=rf"answered {status}: cannot, \*+ sorry") as caught:
            build(server).say("Hello.", Manner.PLAIN)
        assert "\n" not in str(caught.value)
        assert KEY not in "".join(map(str, (caught.value, repr(caught.value), caught.value.__cause__)))

    def test_a_key_that_is_cut_off_in_a_long_answer_is_hidden_too(self, server, build):
        server.fails = (500, b"x" * (300 - 60) + KEY.encode() * 5)
        with pytest.raises(SpeechAway) as caught:
            build(server).say("Hello.", Manner.PLAIN)
        assert KEY[:8] not in str(caught.value)

    def test_a_key_that_it_echoes_when_it_is_wrong_is_hidden(self, server, build):
        engine = build(server)
        wrong = "sk-wrong-987654321"
        engine = type(engine)(
            {openai.KEY: wrong, elevenlabs.KEY: wrong}, base_url=f"{server.url}{'/v1' if build is openai_at else ''}"
        )
        with pytest.raises(ConfigError, match="_API_KEY holds the key") as caught:
            engine.say("Hello.", Manner.PLAIN)
        assert wrong not in str(caught.value)
        assert wrong not in repr(engine)

    @pytest.mark.parametrize(
        "raw", [b"", b"nonsense", b"[]", b"RIFF____WAVEfmt "], ids=["empty", "text", "json", "half a file"]
    )
    def test_an_answer_that_is_no_speech_is_told(self, server, build, raw):
        server.raw = raw
        with pytest.raises(SpeechAway, match="did not answer with speech"):
            build(server).say("Hello.", Manner.PLAIN)

    def test_one_that_says_nothing_is_not_waited_for(self, server, build):
        server.hangs = True
        with pytest.raises(SpeechAway, match=r"did not answer within 0.2 s"):
            build(server, timeout_s=0.2).say("Hello.", Manner.PLAIN)

    def test_one_that_drips_for_ever_is_not_waited_for(self, server, build):
        server.drips = True
        with pytest.raises(SpeechAway, match=r"did not answer within 0.3 s"):
            build(server, timeout_s=0.3).say("Hello.", Manner.PLAIN)

    def test_an_answer_that_breaks_off_is_told(self, server, build):
        server.missing = 1000
        with pytest.raises(SpeechAway, match=r"broke off within its answer"):
            build(server).say("Hello.", Manner.PLAIN)

    def test_more_than_there_can_be_is_not_taken(self, server, build, monkeypatch):
        monkeypatch.setattr(services, "_MOST_BYTES", 1000)
        with pytest.raises(SpeechAway, match=r"answered more than"):
            build(server).say("Hello.", Manner.PLAIN)

    def test_nobody_there_is_told(self, server, build):
        with SpeechServer() as gone:
            engine = build(gone)
        with pytest.raises(SpeechAway, match="nobody answers there"):
            engine.say("Hello.", Manner.PLAIN)


@pytest.mark.parametrize("kind", [OpenAi, ElevenLabs])
def test_keys_come_from_the_environment_and_are_not_told(kind):
    name = openai.KEY if kind is OpenAi else elevenlabs.KEY
    with pytest.raises(ConfigError, match=f"{name} is not set"):
        kind({})
    with pytest.raises(ConfigError, match=f"{name} holds characters") as caught:
        kind({name: f"{KEY}\r\nX-Planted: yes"})
    assert KEY not in str(caught.value)
    with pytest.raises(ConfigError, match=r"'ftp://example.org' is not an address"):
        kind({name: KEY}, base_url="ftp://example.org")


# -- Piper


def test_a_piper_voice_says_what_is_missing(tmp_path):
    with pytest.raises(MissingExtra, match="pip install piper-tts"):
        Piper({"PATH": str(tmp_path)}, voice=tmp_path / "a.onnx")
    voice, variables = piper_in(tmp_path)
    voice.with_name("plain.onnx.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"plain\.onnx: is no Piper voice, or plain\.onnx\.json beside it"):
        Piper(variables, voice=voice)
    voice, variables = piper_in(tmp_path)
    voice.unlink()
    with pytest.raises(ConfigError, match=r"plain\.onnx: is no Piper voice"):
        Piper(variables, voice=voice)


def test_what_piper_says_when_it_fails_is_told(tmp_path):
    voice, variables = piper_in(tmp_path, "fail")
    with pytest.raises(SpeechFailed, match="piper fail: no such voice"):
        Piper(variables, voice=voice).say("Hello.", Manner.PLAIN)


# -- choosing


@pytest.mark.parametrize(
    ("settings", "variables", "name"),
    [
        ({}, {}, "espeak-ng en-us"),
        ({"language": "de"}, {}, "espeak-ng de"),
        ({"voice": "en+f3"}, {}, "espeak-ng en+f3"),
        ({}, {openai.KEY: KEY}, "openai gpt-4o-mini-tts alloy"),
        ({"model": "m", "voice": "v"}, {openai.KEY: KEY}, "openai m v"),
        ({}, {openai.KEY: KEY, elevenlabs.KEY: KEY}, "elevenlabs eleven_multilingual_v2 JBFqnCBsd6RMkjVDRZzb"),
        ({"engine": "espeak"}, {openai.KEY: KEY}, "espeak-ng en-us"),
    ],
)
def test_the_engine_follows_settings_and_keys(settings, variables, name):
    assert chosen(VoiceSettings(**settings), variables).name == name


def test_a_piper_voice_is_taken_where_it_is_named(tmp_path):
    voice, variables = piper_in(tmp_path)
    assert chosen(VoiceSettings(voice=str(voice)), {**variables, openai.KEY: KEY}).name == "piper plain"
    assert chosen(VoiceSettings(), {**variables, piper.VARIABLE: str(voice)}).name == "piper plain"
    with pytest.raises(ConfigError, match="no voice file is named"):
        chosen(VoiceSettings(engine="piper"), variables)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": "festival"}, "engine: 'festival' does not speak; known are auto, espeak"),
        ({"speed": 9.0}, "speed: 9 is not"),
    ],
)
def test_a_setting_that_is_wrong_is_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        chosen(VoiceSettings(**settings), {})
