"""What is read out of an answer, and what is measured of a sample without running it. Pure."""

import ast
import builtins
import re
from collections.abc import Iterable

_BLOCK = re.compile(r"^```(?:python)?\n(.*?)^```[ \t]*$", re.DOTALL | re.MULTILINE)
_SECRETS = (
    re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b"),
    re.compile(r"\bgh[oprsu]_[0-9A-Za-z]{36,}\b"),
    re.compile(r"\bgithub_pat_[0-9A-Za-z_]{50,}\b"),
    re.compile(r"\bxox[abprs]-[0-9A-Za-z-]{10,}"),
    re.compile(r"\bsk-[0-9A-Za-z_-]{20,}"),
    re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b"),
    re.compile(r"\beyJ[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]{10,}"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    re.compile(
        r"(?i)\b(password|passwd|secret|api_?key|token)\b\s*=\s*['\"](?=[^'\"]*\d)(?=[^'\"]*[a-z])[^'\"\s]{16,}['\"]"
    ),
)
_BUILTINS = frozenset(dir(builtins))


def has_secret(text: str) -> bool:
    """Tell whether a text holds what looks like a key, a token or a password."""
    return any(pattern.search(text) for pattern in _SECRETS)


def blocks_of(answer: str) -> list[str] | None:
    """Return the blocks of code of an answer; None where one is begun and not ended."""
    if len(re.findall(r"^```", answer, re.MULTILINE)) % 2:
        return None
    return [block.rstrip("\n") for block in _BLOCK.findall(answer)]


def definition_of(code: str) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """Return the function that a code defines; None where it is anything else than one function."""
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return body[0] if len(body) == 1 and isinstance(body[0], ast.FunctionDef | ast.AsyncFunctionDef) else None


def same_code(one: str, other: str) -> bool:
    """Tell whether two texts are the same code, whatever their layout."""
    nodes = definition_of(one), definition_of(other)
    return None not in nodes and len({ast.dump(node) for node in nodes if node is not None}) == 1


def explained(code: str, given: Iterable[str]) -> float:
    """Return which share of the names that a function uses its reader can know.

    Those are its parameters and variables, what is built in, and the `given` ones. The rest stands somewhere else in
    its module.
    """
    tree = ast.parse(code)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    known = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    known |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)} | _BUILTINS | set(given)
    known |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    return len(used & known) / len(used) if used else 1.0


def names_in(source: str) -> set[str]:
    """Return the names that a piece of Python uses or defines."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return set()
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return found | {(one.asname or one.name).split(".")[0] for one in ast.walk(tree) if isinstance(one, ast.alias)}
