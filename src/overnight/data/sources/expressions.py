"""JMESPath expressions of a source's settings."""

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
            return self._compiled.search(content)
        except (self._fault, RecursionError) as error:
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
