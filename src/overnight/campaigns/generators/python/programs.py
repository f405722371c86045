"""Programs that are nearly the one that was given, by which tests are tested. Pure."""

import ast
from collections.abc import Iterator

from overnight.campaigns.generators.python.mutations import edits_of, mutant

_CANNOT_PARSE = (SyntaxError, ValueError, RecursionError, MemoryError)


def hollow(code: str) -> str | None:
    """Return the program with functions that do nothing; None where there is no function in it, or no program."""
    try:
        tree = ast.parse(code)
        found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        for function in found:
            function.body = [ast.Return(value=None)]
        return ast.unparse(ast.fix_missing_locations(tree)) if found else None
    except _CANNOT_PARSE:
        return None


def slips(code: str, most: int) -> list[str]:
    """Return up to so many programs with a small mistake in one of the functions, spread over what can be mistaken."""
    try:
        made = list(_mistaken(code))
    except _CANNOT_PARSE:
        return []
    if len(made) <= most:
        return made
    return [made[place * len(made) // most] for place in range(most)]


def _mistaken(code: str) -> Iterator[str]:
    for function in ast.parse(code).body:
        text = ast.get_source_segment(code, function)
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) or not text or code.count(text) != 1:
            continue
        for edits in edits_of(text).values():
            for edit in edits:
                other = mutant(text, edit)
                if other is not None:
                    yield code.replace(text, other)
