"""Which code in texts is the same but for its names, literals, annotations, comments and docstrings. Pure.

Python is found where a text is nothing else, between fences (Markdown), and where a function begins. What is compared
are the bodies of functions, and what a module does outside of them.
"""

import ast
import re
import warnings
from collections.abc import Iterator, Sequence
from textwrap import dedent
from typing import Any

from xxhash import xxh3_64_intdigest

LEAST = 30
"""Nodes of the syntax tree of the smallest code that is compared: what is smaller is written the same by anybody."""
_FENCED = re.compile(r"^(?P<fence>```+|~~~+)[^\n]*\n(?P<code>.*?)^(?P=fence)", re.MULTILINE | re.DOTALL)
_DEFINITION = re.compile(r"([ \t]*)(async[ \t]+)?def[ \t]")
_FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
_ELSEWHERE = (ast.Import, ast.ImportFrom, ast.ClassDef, *_FUNCTION.__args__)
_LEFT_OUT = {"ctx", "annotation", "returns", "decorator_list", "type_comment", "type_params", "kind"}


def shapes_in(text: str) -> list[int]:
    """Return what stands for the shape of each piece of Python code in a text, a 64-bit number each.

    Code that does not parse has none. The numbers are the same as long as the version of Python is.
    """
    with warnings.catch_warnings():
        # Of whoever wrote the text: it is not run.
        warnings.simplefilter("ignore")
        bodies = [body for tree in _trees(text) for body in _bodies(tree)]
    shapes = (_shape(body) for body in bodies)
    return [xxh3_64_intdigest(shape.encode(errors="surrogatepass")) for shape in shapes if shape]


def _trees(text: str) -> Iterator[ast.Module]:
    """Yield the syntax trees of the code that is found."""
    whole = _parsed(text)
    if whole is not None:
        yield whole
        return
    rest = text
    for found in _FENCED.finditer(text):
        tree = _parsed(found["code"])
        if tree is not None:
            yield tree
            rest = rest.replace(found[0], "\n")
    lines = rest.split("\n")
    at = 0
    while at < len(lines):
        end = _end_of_function(lines, at)
        tree = _parsed("\n".join(lines[at:end])) if end > at else None
        if tree is not None:
            yield tree
        at = end if tree is not None else at + 1


def _end_of_function(lines: Sequence[str], at: int) -> int:
    """Return where the function that begins in that line ends; the line itself where none begins."""
    begins = _DEFINITION.match(lines[at])
    if begins is None:
        return at
    end = at + 1
    while end < len(lines):
        inner = lines[end].lstrip()
        deeper = len(lines[end]) - len(inner) > len(begins[1])
        # A signature over several lines ends with a bracket below its beginning.
        if inner and not deeper and not inner.startswith(")"):
            break
        end += 1
    return end


def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(dedent(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _bodies(tree: ast.Module) -> Iterator[Sequence[ast.stmt]]:
    yield [one for one in tree.body if not isinstance(one, _ELSEWHERE)]
    for node in ast.walk(tree):
        if isinstance(node, _FUNCTION):
            yield node.body


def _shape(body: Sequence[ast.stmt]) -> str | None:
    """Return the nodes of a body, and of each name whether it is one that came before; None where they are few."""
    told: list[str] = []
    names: dict[str, int] = {}
    try:
        nodes = sum(_tell(node, told, names) for node in _without_docstring(body))
    except RecursionError:
        return None
    return " ".join(told) if nodes >= LEAST else None


def _tell(node: ast.AST, told: list[str], names: dict[str, int]) -> int:
    """Write a node down, and return how many nodes it is."""
    if isinstance(node, ast.Constant):
        told.append(type(node.value).__name__)
        return 1
    nodes = 1
    told.append(f"{type(node).__name__}(")
    for field, value in ast.iter_fields(node):
        if field in _LEFT_OUT:
            continue
        inner = value if isinstance(value, list) else [value]
        for one in _without_docstring(inner) if isinstance(node, _FUNCTION | ast.ClassDef) else inner:
            if isinstance(one, ast.AST):
                nodes += _tell(one, told, names)
            elif isinstance(one, str):
                told.append(str(names.setdefault(one, len(names))))
    told.append(")")
    return nodes


def _without_docstring(body: Sequence[Any]) -> Sequence[Any]:  # Any: what a field of a node holds
    first = body[0] if body else None
    told = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return body[1:] if told else body
