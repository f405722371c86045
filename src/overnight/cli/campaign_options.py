"""What the commands of campaigns have in common."""

from typing import Annotated

import typer

Name = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="The campaign; without it, the one that the project has.")
]
