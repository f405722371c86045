"""What a sample is when its names and literals are taken away: by that, samples that teach the same are told. Pure."""

import ast
import hashlib
import re
from collections.abc import Iterator

from overnight.campaigns.generators.python.functions import without_docstring

_WORD, _NUMBER = re.compile(r"[^\W\d_]\w*"), re.compile(r"\d+(\.\d+)?(e[+-]?\d+)?")


def skeleton_of(form: str, *texts: str) -> str:
    """Return the skeleton of a sample of that form that is made of these texts: 32 hexadecimal digits."""
    told = "\n".join([form, *map(shape_of, texts)]).encode()
    return hashlib.blake2b(told, digest_size=16).hexdigest()


def shape_of(text: str) -> str:
    """Return the kinds of the nodes of its syntax tree; of what is no Python, its text with words and numbers replaced.

    Docstrings and decorators are left out.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _NUMBER.sub("0", _WORD.sub("w", text))
    return " ".join(_kinds(tree))


def _kinds(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant):
        yield type(node.value).__name__
        return
    yield f"{type(node).__name__}("
    for inner in _inside(node):
        yield from _kinds(inner)
    yield ")"


def _inside(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.args
        yield from without_docstring(node)
    else:
        yield from ast.iter_child_nodes(node)
