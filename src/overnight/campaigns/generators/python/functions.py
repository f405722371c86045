"""The functions of a module that have doctests, from its source text alone. Pure."""

import ast
import doctest
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LONGEST = 3_000
"""Characters of a function that makes a sample, its docstring cut to the summary."""
_ANY = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, kw_only=True)
class Function:
    """A function or method with examples in its docstring.

    `text` is its source, decorators left out, at no indentation, with the docstring cut to its summary; `first_line`
    and `last_line` are where it begins in its module: at its first decorator, and at its definition.
    """

    module: str
    qualname: str
    text: str
    docstring: str
    first_line: int
    last_line: int

    @property
    def name(self) -> str:
        """The name of the function, as a person reads it."""
        return f"{self.module}.{self.qualname}"

    @property
    def examples(self) -> Sequence[doctest.Example]:
        """The examples of its docstring, in their order."""
        return doctest.DocTestParser().get_examples(self.docstring)


def functions_of(module: str, source: str) -> list[Function]:
    """Return the functions with doctests, in their order; none where the source is not Python of this version."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return []
    lines = source.split("\n")
    found: dict[str, Function] = {}
    for qualname, node in _definitions(tree, ""):
        # Of several definitions of a name the last one is what the module ends up with.
        found.pop(qualname, None)
        function = _function(module, qualname, node, lines)
        if function is not None:
            found[qualname] = function
    return list(found.values())


def without_docstring(node: _ANY) -> list[ast.stmt]:
    """Return the statements of a function that do something."""
    return node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body


def _definitions(tree: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[str, _ANY]]:
    for node in tree.body:
        if isinstance(node, _ANY):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from _definitions(node, f"{prefix}{node.name}.")


def _function(module: str, qualname: str, node: _ANY, lines: Sequence[str]) -> Function | None:
    docstring = ast.get_docstring(node, clean=False)
    if docstring is None or ">>>" not in docstring or len(without_docstring(node)) == 0:
        return None
    text = _text(node, lines, docstring)
    if text is None or len(text) > LONGEST:
        return None
    first_line = min([node.lineno, *(one.lineno for one in node.decorator_list)])
    function = Function(
        module=module, qualname=qualname, text=text, docstring=docstring, first_line=first_line, last_line=node.lineno
    )
    try:
        return function if function.examples else None
    except ValueError:  # the docstring is not what doctest understands
        return None


def _text(node: _ANY, lines: Sequence[str], docstring: str) -> str | None:
    """Return the function's text; None where taking its indentation away would change what it says."""
    told, first = node.body[0], without_docstring(node)[0]
    if lines[told.lineno - 1][: told.col_offset].strip() or first.lineno == told.end_lineno:
        return None  # the docstring shares a line with something
    kept = list(lines[node.lineno - 1 : told.lineno - 1])
    summary = summary_of(docstring)
    if summary and '"' not in summary and "\\" not in summary:
        kept.append(f'{" " * told.col_offset}"""{summary}"""')
    kept += lines[told.end_lineno : node.end_lineno]
    if any(line[: node.col_offset].strip() for line in kept):
        return None
    text = "\n".join(line[node.col_offset :].rstrip() for line in kept)
    try:
        again = ast.parse(text).body
    except SyntaxError:
        return None
    same = len(again) == 1 and isinstance(again[0], _ANY) and not (node.col_offset and _holds_long_text(node))
    return text if same and "\t" not in text else None


def _holds_long_text(node: _ANY) -> bool:
    """Tell whether a text in the function goes over several lines: indentation is a part of it."""
    inner = (each for statement in without_docstring(node) for each in ast.walk(statement))
    return any(isinstance(each, ast.Constant | ast.JoinedStr) and each.end_lineno != each.lineno for each in inner)


def summary_of(docstring: str) -> str:
    """Return the first paragraph of a docstring as one line; empty where that is an example already."""
    paragraph = docstring.strip().split("\n\n")[0]
    return "" if ">>>" in paragraph else " ".join(paragraph.split())
