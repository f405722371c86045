"""Speaks with the library espeak-ng, which is under the GPL: a program of its own, and no part of any other process.

It reads one JSON object from its standard input (`library`, `data`, `voice`, `text`, `rate`, `pitch`, `range`), and
writes the length of a line in four bytes, that line (JSON: `rate_hz`, `events`), and 16-bit PCM. An event is [kind,
place in the text (characters), sample]; kinds are "word", "sound" and "silence". It imports the standard library alone.
"""

import ctypes
import json
import struct
import sys

_RETRIEVAL = 2
_PHONEME_EVENTS, _DONT_EXIT = 0x0001, 0x8000
_RATE, _PITCH, _RANGE = 1, 3, 4
_UTF8 = 1
_WORD, _PHONEME = 1, 7
_BUFFER_MS = 0


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    """An `espeak_EVENT` of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


def main() -> None:
    """Speak what standard input asks for; what cannot be done is one line on standard error, and exit code 1."""
    asked = json.load(sys.stdin)
    library = ctypes.CDLL(asked["library"])
    rate_hz = library.espeak_Initialize(_RETRIEVAL, _BUFFER_MS, asked["data"].encode(), _PHONEME_EVENTS | _DONT_EXIT)
    if rate_hz <= 0:
        sys.exit(f"espeak-ng cannot read its data in {asked['data']}")
    if library.espeak_SetVoiceByName(asked["voice"].encode()) != 0:
        sys.exit(f"espeak-ng has no voice {asked['voice']!r}")
    for kind, value in ((_RATE, asked["rate"]), (_PITCH, asked["pitch"]), (_RANGE, asked["range"])):
        library.espeak_SetParameter(kind, value, 0)
    pcm, events = _spoken(library, asked["text"])
    told = json.dumps({"rate_hz": rate_hz, "events": events}).encode()
    sys.stdout.buffer.write(struct.pack("<I", len(told)) + told + pcm)


def _spoken(library: ctypes.CDLL, text: str) -> tuple[bytes, list[tuple[str, int, int]]]:
    pcm, events = bytearray(), list[tuple[str, int, int]]()

    def take(samples: "ctypes._Pointer[ctypes.c_short]", count: int, told: "ctypes._Pointer[_Event]") -> int:
        if count > 0:
            pcm.extend(ctypes.string_at(samples, count * 2))
        place = 0
        while told[place].type != 0:
            event = told[place]
            if event.type == _WORD:
                events.append(("word", event.text_position - 1, event.sample))
            elif event.type == _PHONEME:
                kind = "silence" if event.id.string.startswith(b"_") else "sound"
                events.append((kind, event.text_position - 1, event.sample))
            place += 1
        return 0

    callback = _Callback(take)
    library.espeak_SetSynthCallback(callback)
    raw = text.encode()
    if library.espeak_Synth(raw, len(raw) + 1, 0, 0, 0, _UTF8, None, None) != 0:
        sys.exit("espeak-ng did not take the text")
    return bytes(pcm), events


if __name__ == "__main__":
    main()
