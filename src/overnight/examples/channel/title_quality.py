"""What can be measured of a template of titles: whether what it makes fits, and whether it shouts. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prose import words
from video_texts import MOST_TITLE


@dataclass(frozen=True, kw_only=True)
class TitleQuality:
    """What was measured: titles that were made, how many fit, the longest one; words of the template, and loud signs.

    Loud are words in capitals, and each ! ? * ~ after the first one.
    """

    titles: int
    fitting: int
    longest: int
    words: int
    loud: int

    @property
    def calm(self) -> float:
        """How little it shouts: 1 is not at all, and 0 is as many loud signs as words, or more."""
        return max(0.0, 1 - self.loud / max(1, self.words))

    @property
    def score(self) -> float:
        """From 0 to 10; a template that could not be tried on any title is judged by its words alone."""
        return 10 * min(self.calm, self.fitting / self.titles if self.titles else 1.0)

    @property
    def told(self) -> str:
        """What was measured, as a sentence without its end."""
        tried = "there is no video to try it on"
        if self.titles:
            fit = f"{self.fitting} of {self.titles} titles fit into {MOST_TITLE} characters"
            tried = f"{fit} (the longest has {self.longest})"
        return f"{tried}; loud signs: {self.loud}, words: {self.words}"


def measured(template: str, heads: Sequence[Mapping[str, str]]) -> TitleQuality:
    """Measure a template by its own words, and by the titles that it makes of topics and angles (`head_of`)."""
    lengths = [len(template.format(**head)) for head in heads]
    own = words(re.sub(r"{\w*}", " ", template))
    shouted = sum(len(word) > 1 and word.isupper() for word in own)
    return TitleQuality(
        titles=len(lengths),
        fitting=sum(length <= MOST_TITLE for length in lengths),
        longest=max(lengths, default=0),
        words=len(own),
        loud=shouted + max(0, len(re.findall(r"[!?*~]", template)) - 1),
    )
