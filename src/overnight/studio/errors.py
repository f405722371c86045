"""What goes wrong with sound and pictures, each in one line that says what to do."""

from overnight.base.errors import PermanentError, TransientError, UserMistake


class Unreadable(UserMistake):
    """A media file is not there, or is none; the message names it and what was found wrong with it."""


class NoRoom(TransientError):
    """The disk was full before all was written; what was begun is gone. Make room, then do it again."""


class Stopped(TransientError):
    """It was asked to stop before it was done; what was begun is gone."""


class FfmpegFailed(PermanentError):
    """The program ffmpeg did not do what it was asked; the message is what it said last."""


class Died(TransientError):
    """A program that worked for the studio was killed: by a person, or because memory ran out. Another try may do."""


class TooSlow(TransientError):
    """It took longer than it was given; what was begun is gone."""


class SpeechAway(TransientError):
    """An engine that speaks does not answer, or is overloaded."""


class SpeechFailed(PermanentError):
    """An engine cannot speak this text, or not with these settings; the message says why."""


class NothingToSay(UserMistake):
    """A narration holds no words."""
