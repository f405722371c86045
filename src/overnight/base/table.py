"""What all tables of the configuration have in common."""

from collections.abc import Mapping
from typing import ClassVar


class Table:
    """A table of the configuration: what it does not know is refused, and text is never taken for a number."""

    __pydantic_config__: ClassVar[Mapping[str, object]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}
