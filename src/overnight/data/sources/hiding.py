"""What variables of the environment put into a source: hidden from all that is said about it, or kept of it.

Names of parameters do not tell what is a secret (`?auth=`, a path); where a value came from does.
"""

from collections.abc import Mapping

from overnight.base.config import SourceSettings
from overnight.base.hiding import Hiding
from overnight.base.variables import names_in


def hiding_of(name: str, source: SourceSettings, variables: Mapping[str, str]) -> Hiding:
    """Return what hides the values of the variables that `source` names in its address and headers."""
    texts = {"url": source.url or "", **{f"headers.{header}": text for header, text in source.headers.items()}}
    named = {variable for key, text in texts.items() for variable in names_in(text, f"sources.{name}.{key}")}
    return Hiding(variables[variable] for variable in named if variable in variables)
