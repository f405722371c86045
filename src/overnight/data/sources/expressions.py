"""JMESPath expressions of a source's settings, with one function more: match(text, 'PATTERN').

It gives what the pattern's first group (or the pattern) finds in a text, by Python's regular expressions, and null
where it finds nothing or there is no text: `match(text, '(?m)^T: *(.+)')` is the title of a tune in ABC notation.
"""

import re
from functools import cache
from typing import Any

from overnight.base.errors import ConfigError, MissingExtra, PermanentError, one_line


class DoesNotFit(ValueError):
    """What an expression asks for is not what is there; the message says why."""


class Expression:
    """A JMESPath expression; `key` is the setting that it stands in.

    Raises:
        ConfigError: the text is none.
        MissingExtra: the extra `data` is not installed.
    """

    def __init__(self, key: str, text: str) -> None:
        try:
            import jmespath
            import jmespath.exceptions
        except ImportError as error:
            raise MissingExtra(
                f"{key}: JMESPath expressions need the extra 'data': pip install 'overnight[data]'"
            ) from error
        self._fault = jmespath.exceptions.JMESPathError
        self.key, self.text = key, text
        try:
            self._compiled = jmespath.compile(text)
        except (self._fault, RecursionError) as error:
            raise ConfigError(f"{key}: {text!r} is no JMESPath expression: {one_line(error)}") from None

    def search(self, content: Any) -> Any:  # Any: whatever JSON holds
        """Return what the expression finds in the content.

        Raises:
            DoesNotFit: it cannot be used on it.
        """
        try:
            return self._compiled.search(content, options=_options())
        except (self._fault, RecursionError, re.error) as error:
            raise DoesNotFit(one_line(error)) from None

    def of(self, content: Any, number: int) -> Any:  # Any: whatever JSON holds
        """Return what the expression finds in the content of page `number`.

        Raises:
            PermanentError: it cannot be used on it.
        """
        try:
            return self.search(content)
        except DoesNotFit as error:
            raise PermanentError(f"{self.key}: {self.text!r} fails on page {number}: {error}") from None


@cache
def _options() -> Any:
    """Return JMESPath's options with our function."""
    import jmespath
    from jmespath.functions import Functions, signature

    class WithMatch(Functions):  # type: ignore[misc]  # jmespath has no types
        @signature({"types": ["string", "null"]}, {"types": ["string"]})  # type: ignore[untyped-decorator]  # as above
        def _func_match(self, text: str | None, pattern: str) -> str | None:
            found = None if text is None else re.search(pattern, text)
            return None if found is None else found[1 if found.re.groups else 0]

    return jmespath.Options(custom_functions=WithMatch())
