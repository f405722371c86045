"""Every command, argument and option is documented, and every help text has an example."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from overnight.cli import app as cli

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"


def commands(command: Any, path: str = "overnight") -> Iterator[tuple[str, Any]]:
    """Every command that does something, and its full name."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name, below in inner.items():
        yield from commands(below, f"{path} {name}")


ALL = dict(commands(get_command(cli.build())))
GROUPS = sorted({name.rpartition(" ")[0] for name in ALL if name.count(" ") > 1})


def sections() -> set[str]:
    """The commands that have a section: its heading without the arguments, which are in capitals."""
    heads = re.findall(r"^### `(overnight[^`]*)`$", PAGE.read_text(), flags=re.M)
    return {" ".join(word for word in head.split() if word.islower()) for head in heads}


def test_every_command_has_its_section_and_every_section_its_command():
    assert sections() == set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_each_option_and_argument_is_explained(name):
    text = PAGE.read_text().partition(f"### `{name}")[2].partition("\n### ")[0]
    words = [word for item in ALL[name].params for word in (item.opts if item.param_type_name == "option" else [])]
    words += [item.metavar for item in ALL[name].params if item.param_type_name == "argument"]
    assert [word for word in words if word not in text and word != "--help"] == []


def test_the_global_options_are_explained():
    text = PAGE.read_text()
    assert [word for word in ("--project", "--debug", "--version") if f"`{word}" not in text] == []


@pytest.mark.parametrize("name", ["overnight", *GROUPS])
def test_no_command_is_introduced_by_half_a_sentence(name, capsys):
    assert cli.main([*name.split()[1:], "--help"]) == 0
    introduced = capsys.readouterr().out.partition("\nCommands:\n")[2].partition("\n\n")[0].splitlines()
    assert introduced
    assert [line for line in introduced if not line.endswith(".") or line.endswith("..")] == []


@pytest.mark.parametrize("name", ["overnight", *ALL, "overnight tasks", "overnight runs", "overnight db"])
def test_each_help_has_an_example_and_fits_80_columns(name, capsys):
    assert cli.main([*name.split()[1:], "--help"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^  (Example|Start with): overnight ", shown, re.M)
    assert max(map(len, shown.splitlines())) <= 80
    assert "\x1b" not in shown


@pytest.mark.parametrize("name", ["overnight", *ALL, *GROUPS])
def test_each_example_stands_on_one_line_and_can_be_copied(name, capsys):
    assert cli.main([*name.split()[1:], "--help"]) == 0
    last = capsys.readouterr().out.rstrip().splitlines()[-1]
    assert re.match(r"  (Example|Start with): overnight ", last)


def test_each_example_is_of_its_own_command():
    for name, command in ALL.items():
        example = str(command.epilog).removeprefix("Example: ")
        assert name in example, name
