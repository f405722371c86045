"""The captions that are in a media file itself, as players show them."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from overnight.studio import ffmpeg
from overnight.studio.captions import Caption, read

_NAME = "captions.srt"


def subtitles(path: Path, *, cancelled: Callable[[], bool] = lambda: False) -> list[Caption]:
    """Return the captions of the first stream of them; hand in a file that has one (`probe.Media.subtitles`).

    Raises:
        Unreadable: it is not there, or is no media file; FfmpegFailed: it has no such stream.
        Stopped, NoRoom, Died, MissingExtra: as `ffmpeg.run` does.
    """
    with tempfile.TemporaryDirectory(prefix="overnight-") as folder:
        out = Path(folder) / _NAME
        ffmpeg.run(["-i", path, "-map", "0:s:0", out], cancelled=cancelled)
        return read(out.read_text(encoding="utf-8", errors="replace"))
