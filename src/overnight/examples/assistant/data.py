"""Small data for the four models, made by rule, with the right answers: for a demonstration, not for a product.

Requests have an intent, images show digits, voices are sums of harmonics, and pairs of texts are alike as far as they
share an intent and its words.
"""

import base64
import io
import math
import random
import struct
import wave

REQUESTS = {
    "weather": ["will it {rain} in {city}", "how is the weather in {city}", "do i need an umbrella in {city}"],
    "music": ["play some {genre}", "put on a {genre} song", "i want to hear {genre} music"],
    "timer": ["wake me in {number} minutes", "set a timer of {number} minutes", "remind me in {number} minutes"],
    "lights": ["switch the {room} lights on", "make it dark in the {room}", "dim the lamp in the {room}"],
    "news": ["what happened in {city} today", "read me the headlines", "any news from {city}"],
}
WORDS = {
    "rain": ["rain", "snow", "be sunny", "storm"],
    "city": ["oslo", "rome", "lima", "cairo", "kyoto", "paris", "accra"],
    "genre": ["jazz", "rock", "soul", "folk", "techno"],
    "number": ["two", "five", "ten", "twenty", "forty"],
    "room": ["kitchen", "hall", "bath", "attic"],
}
BEGINNINGS = ("", "please ", "hey ", "well ", "so ", "ok ")
ENDINGS = ("", " now", " for me", " thanks", " would you")
RATE = 8000


def requests(count: int, seed: int, intents: tuple[str, ...] = tuple(REQUESTS)) -> list[tuple[str, str]]:
    """Return texts with their intents."""
    draw = random.Random(seed)
    found = []
    for place in range(count):
        intent = intents[place % len(intents)]
        text = draw.choice(REQUESTS[intent])
        said = text.format(**{name: draw.choice(words) for name, words in WORDS.items()})
        found.append((f"{draw.choice(BEGINNINGS)}{said}{draw.choice(ENDINGS)}", intent))
    return found


def pairs(count: int, seed: int) -> list[tuple[str, str, float]]:
    """Return pairs of texts and how alike they are: 1 the same words, 0.6 the same intent, 0 neither."""
    draw = random.Random(seed)
    texts = requests(10 * count, seed + 1)
    found = []
    for place in range(count):
        text, intent = draw.choice(texts)
        if place % 3 == 0:
            found.append((text, f"please {text}", 1.0))
            continue
        same = [other for other, of in texts if (of == intent) is (place % 3 == 1) and other != text]
        found.append((text, draw.choice(same), 0.6 if place % 3 == 1 else 0.0))
    return found


def images(count: int, seed: int) -> list[tuple[list[list[int]], int]]:
    """Return grey images of 8 x 8 with the digits that they show; they come with scikit-learn."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    places = random.Random(seed).sample(range(len(digits.target)), count)
    return [((digits.images[place] * 255 / 16).astype(int).tolist(), int(digits.target[place])) for place in places]


def voice(speaker: int, seed: int) -> str:
    """Return half a second of a voice as WAV, in base64: harmonics of a pitch, shaped by formants."""
    draw = random.Random(f"{speaker} {seed}")
    pitch = 90 + 22 * speaker + draw.uniform(-4, 4)
    formants = (400 + 55 * speaker, 1100 + 130 * speaker, 2300 + 90 * speaker)
    samples = []
    for at in range(RATE // 2):
        value = 0.0
        for harmonic in range(1, int(3600 / pitch)):
            loudness = sum(math.exp(-(((harmonic * pitch - one) / 160) ** 2)) for one in formants)
            value += loudness * math.sin(2 * math.pi * harmonic * pitch * at / RATE)
        samples.append(int(3000 * value / 2 + draw.gauss(0, 60)))
    content = struct.pack(f"<{len(samples)}h", *(max(-32768, min(32767, one)) for one in samples))
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, RATE, 0, "NONE", ""))
        sound.writeframes(content)
    return base64.b64encode(file.getvalue()).decode()
