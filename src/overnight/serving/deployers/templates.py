"""What templates of deployers may name, and what that stands for."""

import re
from collections.abc import Mapping, Sequence

from overnight.base.errors import ConfigError
from overnight.serving.ports import VersionRef

WORDS = ("model", "version", "folder", "name")
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


def words_of(ref: VersionRef) -> dict[str, str]:
    """Return what the words stand for; `name` is one name for model and version."""
    return {
        "model": ref.model,
        "version": ref.number,
        "folder": str(ref.folder),
        "name": f"{ref.model}-{ref.number}",
    }


def check(where: str, templates: Sequence[str]) -> None:
    """See to it that templates name nothing else.

    Raises:
        ConfigError: one does; the message names it.
    """
    for name in (name for template in templates for name in _PLACEHOLDER.findall(template)):
        if name not in WORDS:
            raise ConfigError(f"{where}: there is no {{{name}}}; known are {', '.join(WORDS)}")


def filled(template: str, words: Mapping[str, str]) -> str:
    """Return a template with the words put in, whatever they hold."""
    return _PLACEHOLDER.sub(lambda match: words[match[1]], template)
