"""How each manner sounds. Pure."""

from dataclasses import dataclass

from overnight.studio.markup import Manner


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """How something is said, against how the voice speaks by itself.

    `rate` is a factor, `pitch` is in semitones, `gain_db` is at most 4; `lead_s` and `rest_s` are silence before and
    after. `words` says it to an engine that is told in words.
    """

    rate: float = 1.0
    pitch: float = 0.0
    gain_db: float = 0.0
    lead_s: float = 0.0
    rest_s: float = 0.0
    words: str = "Speak clearly and evenly."


# By ear and by the book: excitement is faster, higher and louder, warning slower and lower, explaining slower, and what
# is stressed slower, louder and set off by silence (K. R. Scherer, Speech Communication 40, 2003, table 2).
_DELIVERIES = {
    Manner.PLAIN: Delivery(),
    Manner.ENTHUSIASTIC: Delivery(
        rate=1.1, pitch=3.0, gain_db=2.0, rest_s=0.1, words="Sound enthusiastic: lively, a little faster and brighter."
    ),
    Manner.CAUTIONARY: Delivery(
        rate=0.88, pitch=-2.0, lead_s=0.25, rest_s=0.35, words="Sound cautionary: slower, lower and serious."
    ),
    Manner.EXPLANATORY: Delivery(
        rate=0.94, pitch=-0.5, rest_s=0.2, words="Explain patiently: a little slower, with clear pauses."
    ),
    Manner.EMPHASIZE: Delivery(
        rate=0.85, pitch=1.5, gain_db=4.0, lead_s=0.15, rest_s=0.25, words="Emphasise this: slower, with weight."
    ),
}


def delivery_of(manner: Manner) -> Delivery:
    """Return how a manner sounds."""
    return _DELIVERIES[manner]
