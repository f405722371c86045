"""A server on loopback that speaks as OpenAI-compatible servers and as ElevenLabs do; what it says is real speech.

It takes one key, tells what it was asked, and can be told to fail. Speech comes from espeak-ng.
"""

import base64
import io
import json
import struct
import threading
import wave
from contextlib import suppress
from http.server import BaseHTTPRequestHandler

from loopback import Loopback
from overnight.studio.markup import Manner
from overnight.studio.speech.espeak import Espeak

KEY = "sk-planted-0123456789abcdef"


def wav_of(clip, *, streamed=False, channels=1):
    """A WAV file of a clip; one that is streamed does not know its length."""
    file = io.BytesIO()
    with wave.open(file, "wb") as made:
        made.setparams((channels, 2, clip.rate_hz, 0, "NONE", ""))
        made.writeframes(clip.pcm.repeat(channels).tobytes())
    content = bytearray(file.getvalue())
    if streamed:
        content[4:8] = content[40:44] = struct.pack("<I", 0xFFFFFFFF)
    return bytes(content)


def alignment_of(text, clip):
    """When each character is heard: those of a word share its time, spaces none."""
    begins, ends, at = [], [], 0
    spans = {}
    for word in clip.words:
        place = text.index(word.text, at)
        at = place + len(word.text)
        each = (word.end_s - word.begin_s) / len(word.text)
        spans |= {place + n: (word.begin_s + n * each, word.begin_s + (n + 1) * each) for n in range(len(word.text))}
    last = 0.0
    for place in range(len(text)):
        begin, end = spans.get(place, (last, last))
        begins.append(begin)
        ends.append(end)
        last = end
    return {
        "characters": list(text),
        "character_start_times_seconds": begins,
        "character_end_times_seconds": ends,
    }


class SpeechServer(Loopback):
    """Answers until the `with` block ends.

    `fails` is a status and a body to answer with, `raw` a body; `hangs` says nothing, `drips` a byte every 10 ms; and
    as many bytes as are `missing` are promised and not sent.
    """

    def __init__(self):
        self.asked, self.fails, self.raw, self.streamed = [], None, None, False
        self.hangs, self.drips, self.missing, self.closing = False, False, 0, threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.append((self.path, body))
                if outer.hangs:
                    outer.closing.wait()
                    return
                status, content = outer.answer(self.path, body, self.headers)
                self.send_response(status)
                self.send_header("Content-Length", str(len(content) + outer.missing))
                self.end_headers()
                with suppress(OSError):
                    while outer.drips and not outer.closing.wait(0.01):
                        self.wfile.write(b" ")
                    self.wfile.write(content)

            def log_message(self, *_):
                pass

        super().__init__(Handler)

    def __exit__(self, *_):
        self.closing.set()
        super().__exit__()

    def answer(self, path, body, headers):
        if self.fails:
            return self.fails
        if self.raw is not None:
            return 200, self.raw
        if path == "/v1/audio/speech":
            return self._as_openai(body, headers)
        return self._as_elevenlabs(path, body, headers)

    def _as_openai(self, body, headers):
        if headers["Authorization"] != f"Bearer {KEY}":
            told = f"Incorrect API key provided: {headers['Authorization']}"
            return 401, json.dumps({"error": {"message": told, "type": "invalid_request_error"}}).encode()
        clip = Espeak(speed=body["speed"]).say(body["input"], Manner.PLAIN)
        return 200, wav_of(clip, streamed=self.streamed)

    def _as_elevenlabs(self, path, body, headers):
        place, _, query = path.partition("?")
        assert place.startswith("/v1/text-to-speech/") and place.endswith("/with-timestamps")
        assert query == "output_format=pcm_22050"
        if headers["xi-api-key"] != KEY:
            told = {"status": "invalid_api_key", "message": f"Invalid API key {headers['xi-api-key']}"}
            return 401, json.dumps({"detail": told}).encode()
        clip = Espeak(speed=body["voice_settings"]["speed"]).say(body["text"], Manner.PLAIN)
        told = {
            "audio_base64": base64.b64encode(clip.pcm.tobytes()).decode(),
            "alignment": alignment_of(body["text"], clip),
        }
        return 200, json.dumps(told).encode()
