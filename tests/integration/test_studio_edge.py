"""The voices of Edge, as far as they can be tested without Microsoft's service.

Where edge-tts is installed it talks to a server on loopback that speaks as it expects; elsewhere a package of its shape
stands in for it. That the service itself still answers in this way is tested by nobody.
"""

import asyncio
import json
import sys
import threading
from contextlib import contextmanager

import pytest

from overnight.base.errors import MissingExtra
from overnight.studio import ffmpeg
from overnight.studio.errors import SpeechAway, SpeechFailed
from overnight.studio.markup import Manner
from overnight.studio.speech import edge
from overnight.studio.speech.choosing import VoiceSettings, chosen
from overnight.studio.speech.edge import Edge, placed, told_of
from overnight.studio.speech.espeak import Espeak
from speech_server import wav_of

TEXT = "Mind the gap, please."
PACKAGE = """
import json, pathlib
from . import exceptions
class Communicate:
    def __init__(self, text, voice, *, rate, pitch, boundary):
        if not voice.endswith("Neural"):
            raise ValueError(f"Invalid voice '{voice}'.")
        self.told = dict(text=text, voice=voice, rate=rate, pitch=pitch, boundary=boundary)
    async def stream(self):
        folder = pathlib.Path(__file__).parent
        (folder / "told.json").write_text(json.dumps(self.told))
        fault = (folder / "fault").read_text() if (folder / "fault").exists() else None
        if fault:
            kinds = {"none": exceptions.NoAudioReceived, "garbled": exceptions.UnexpectedResponse, "away": OSError}
            raise kinds[fault]("no\\nvoice")
        sound = (folder / "speech.mp3").read_bytes()
        yield {"type": "audio", "data": sound[:1000]}
        for offset, duration, text in json.loads((folder / "marks.json").read_text()):
            yield {"type": "WordBoundary", "offset": offset, "duration": duration, "text": text}
        yield {"type": "audio", "data": sound[1000:]}
"""
EXCEPTIONS = """
class EdgeTTSException(Exception): pass
class NoAudioReceived(EdgeTTSException): pass
class UnexpectedResponse(EdgeTTSException): pass
"""


def speech(folder):
    """Return MP3 as the service sends it, and its marks: words without their punctuation, in ticks of 100 ns."""
    clip = Espeak().say(TEXT, Manner.PLAIN)
    (folder / "speech.wav").write_bytes(wav_of(clip))
    ffmpeg.run(["-i", folder / "speech.wav", "-ar", "24000", "-b:a", "48k", folder / "speech.mp3"])
    marks = [
        (round(word.begin_s * 1e7), round((word.end_s - word.begin_s) * 1e7), word.text.strip(",."))
        for word in clip.words
    ]
    return clip, (folder / "speech.mp3").read_bytes(), marks


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    package = tmp_path / "edge_tts"
    package.mkdir()
    (package / "__init__.py").write_text(PACKAGE)
    (package / "exceptions.py").write_text(EXCEPTIONS)
    (tmp_path / "aiohttp.py").write_text("class ClientError(Exception): pass\n")
    for name in [one for one in sys.modules if one.partition(".")[0] in ("edge_tts", "aiohttp")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield package
    for name in ("edge_tts", "edge_tts.exceptions", "aiohttp"):
        sys.modules.pop(name, None)


def near(words, others):
    assert [word.text for word in words] == TEXT.split()
    assert [word.begin_s for word in words] == pytest.approx([word.begin_s for word in others], abs=0.01)


def test_what_the_package_streams_becomes_a_clip_with_measured_words(stand_in):
    spoken, _, marks = speech(stand_in)
    (stand_in / "marks.json").write_text(json.dumps(marks))
    clip = chosen(VoiceSettings(engine="edge"), {}).say(f" {TEXT}\n", Manner.ENTHUSIASTIC)
    assert clip.rate_hz == 24_000
    assert clip.duration_s == pytest.approx(spoken.duration_s, abs=0.15)
    near(clip.words, spoken.words)
    told = json.loads((stand_in / "told.json").read_text())
    assert told == {
        "text": TEXT,
        "voice": "en-US-EmmaMultilingualNeural",
        "rate": "+10%",
        "pitch": "+38Hz",
        "boundary": "WordBoundary",
    }
    (stand_in / "marks.json").write_text("[]")
    assert Edge().say(TEXT, Manner.PLAIN).words is None
    assert len(Edge().say("…", Manner.PLAIN).pcm) == 0


@pytest.mark.parametrize(("fault", "error"), [("none", SpeechFailed), ("garbled", SpeechAway), ("away", SpeechAway)])
def test_what_goes_wrong_is_one_line(stand_in, fault, error):
    (stand_in / "fault").write_text(fault)
    with pytest.raises(error, match=r"^edge de-DE-KatjaNeural: no voice$"):
        Edge(voice="de-DE-KatjaNeural").say(TEXT, Manner.PLAIN)
    with pytest.raises(SpeechFailed, match="edge nobody: Invalid voice 'nobody'"):
        Edge(voice="nobody").say(TEXT, Manner.PLAIN)


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(edge, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="pip install edge-tts"):
        Edge()


@pytest.mark.parametrize(
    ("manner", "speed", "told"),
    [
        (Manner.PLAIN, 1.0, {"rate": "+0%", "pitch": "+0Hz"}),
        (Manner.CAUTIONARY, 1.0, {"rate": "-12%", "pitch": "-22Hz"}),
        (Manner.ENTHUSIASTIC, 1.5, {"rate": "+65%", "pitch": "+38Hz"}),
    ],
)
def test_rate_and_pitch_are_told_as_the_service_wants_them(manner, speed, told):
    assert told_of(manner, speed) == told


def test_words_are_found_in_the_text_in_their_order_and_those_that_are_not_stay_where_they_are():
    assert placed("The cat, the dog", [("the", 0, 1), ("cat", 1, 2), ("THE", 2, 3), ("42", 3, 4), ("dog", 4, 5)]) == [
        (0, 0, 1),
        (4, 1, 2),
        (9, 2, 3),
        (12, 3, 4),
        (13, 4, 5),
    ]


# -- the real package


@contextmanager
def service(sound, marks, asked):
    """A server that speaks as the service does: text frames for marks, binary frames for sound."""
    from aiohttp import WSMsgType, web

    def frame(path, body):
        return f"X-RequestId:1\r\nContent-Type:application/json\r\nPath:{path}\r\n\r\n{body}"

    async def talk(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for _ in range(2):
            message = await socket.receive()
            assert message.type == WSMsgType.TEXT
            asked.append(message.data)
        await socket.send_str(frame("turn.start", "{}"))
        for offset, long, text in marks:
            about = {
                "Offset": offset,
                "Duration": long,
                "text": {"Text": text, "Length": len(text), "BoundaryType": "WordBoundary"},
            }
            await socket.send_str(
                frame("audio.metadata", json.dumps({"Metadata": [{"Type": "WordBoundary", "Data": about}]}))
            )
        header = b"X-RequestId:1\r\nContent-Type:audio/mpeg\r\nPath:audio\r\n"
        for at in range(0, len(sound), 2000):
            await socket.send_bytes(len(header).to_bytes(2, "big") + header + sound[at : at + 2000])
        await socket.send_str(frame("turn.end", "{}"))
        return socket

    loop = asyncio.new_event_loop()
    application = web.Application()
    application.router.add_get("/edge", talk)
    runner = web.AppRunner(application)
    loop.run_until_complete(runner.setup())
    site = web.TCPSite(runner, "127.0.0.1", 0)
    loop.run_until_complete(site.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield runner.addresses[0][1]
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_the_package_itself_speaks_with_a_server_on_loopback(tmp_path, monkeypatch):
    communicate = pytest.importorskip("edge_tts.communicate", reason="edge-tts is not installed")
    spoken, sound, marks = speech(tmp_path)
    asked = []
    with service(sound, marks, asked) as port:
        monkeypatch.setattr(communicate, "WSS_URL", f"ws://127.0.0.1:{port}/edge?a=b")
        clip = Edge().say(TEXT, Manner.CAUTIONARY)
    near(clip.words, spoken.words)
    assert clip.duration_s == pytest.approx(spoken.duration_s, abs=0.15)
    assert '"wordBoundaryEnabled":"true"' in asked[0]
    assert "rate='-12%'" in asked[1]
    assert "pitch='-22Hz'" in asked[1]
    monkeypatch.setattr(communicate, "WSS_URL", f"ws://127.0.0.1:{port}/edge?a=b")
    with pytest.raises(SpeechAway, match=r"^edge en-US-EmmaMultilingualNeural: .*127\.0\.0\.1"):
        Edge().say(TEXT, Manner.PLAIN)
