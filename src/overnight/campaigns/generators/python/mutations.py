"""What can go wrong in a function: small edits of its text, one at a time, found in its syntax tree. Pure.

An operator is a function that is given a node of the tree and yields edits. An edit touches as little text as it can,
so that the layout and the comments of whoever wrote the function stay: what differs is the mistake.
"""

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

_FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
_LOOP = ast.For | ast.AsyncFor | ast.While
_CHANGED = ast.expr | ast.stmt | ast.comprehension | ast.ExceptHandler
_LARGEST = 10**6
_LONGEST_STATEMENT = 4


@dataclass(frozen=True, kw_only=True, order=True)
class Edit:
    """The characters from `start` to `end` become `text`."""

    start: int
    end: int
    text: str

    def on(self, text: str) -> str:
        """Return the text with the edit made."""
        return text[: self.start] + self.text + text[self.end :]


@dataclass(frozen=True, kw_only=True)
class Code:
    """A function's text and its syntax tree."""

    text: str
    function: _FUNCTION

    @cached_property
    def _lines(self) -> Sequence[int]:
        starts = [0]
        for line in self.text.split("\n"):
            starts.append(starts[-1] + len(line) + 1)
        return starts

    def at(self, line: int, column: int) -> int:
        """Return where in the text something is; `column` counts bytes, as the tree does."""
        start = self._lines[line - 1]
        if self.text.isascii():
            return start + column
        told = self.text[start : self._lines[line] - 1].encode()
        return start + len(told[:column].decode())

    def start(self, node: ast.expr | ast.stmt) -> int:
        """Return where the node begins."""
        return self.at(node.lineno, node.col_offset)

    def end(self, node: ast.expr | ast.stmt) -> int:
        """Return where the node ends."""
        assert node.end_lineno is not None and node.end_col_offset is not None, "the parser sets them"
        return self.at(node.end_lineno, node.end_col_offset)

    def told(self, node: ast.expr | ast.stmt) -> str:
        """Return the text of the node."""
        return self.text[self.start(node) : self.end(node)]

    def replace(self, node: ast.expr | ast.stmt, text: str) -> Edit:
        """Return the edit that puts the text in the node's place."""
        return Edit(start=self.start(node), end=self.end(node), text=text)

    def between(self, left: ast.expr, right: ast.expr, pattern: str, text: str) -> Iterator[Edit]:
        """Yield the edit that replaces an operator which stands between two nodes."""
        start = self.end(left)
        found = re.search(pattern, self.text[start : self.start(right)])
        if found is not None:
            yield Edit(start=start + found.start(), end=start + found.end(), text=text)

    @cached_property
    def parameters(self) -> Sequence[str]:
        """The names of its parameters, without the one for the object itself."""
        arguments = self.function.args
        names = [one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        return [name for name in names if name not in ("self", "cls")]


_COMPARISONS: dict[type[ast.cmpop], tuple[str, tuple[str, ...]]] = {
    ast.Lt: (r"<", ("<=", ">")),
    ast.LtE: (r"<=", ("<", ">=")),
    ast.Gt: (r">", (">=", "<")),
    ast.GtE: (r">=", (">", "<=")),
    ast.Eq: (r"==", ("!=",)),
    ast.NotEq: (r"!=", ("==",)),
    ast.Is: (r"\bis\b", ("is not",)),
    ast.IsNot: (r"\bis\s+not\b", ("is",)),
    ast.In: (r"\bin\b", ("not in",)),
    ast.NotIn: (r"\bnot\s+in\b", ("in",)),
}
_ARITHMETIC: dict[type[ast.operator], tuple[str, tuple[str, ...]]] = {
    ast.Add: (r"\+", ("-",)),
    ast.Sub: (r"-", ("+",)),
    ast.Mult: (r"\*", ("+", "//")),
    ast.Div: (r"/", ("//", "*")),
    ast.FloorDiv: (r"//", ("/", "%")),
    ast.Mod: (r"%", ("//",)),
    ast.Pow: (r"\*\*", ("*",)),
    ast.BitAnd: (r"&", ("|",)),
    ast.BitOr: (r"\|", ("&",)),
    ast.BitXor: (r"\^", ("|",)),
    ast.LShift: (r"<<", (">>",)),
    ast.RShift: (r">>", ("<<",)),
}
_ALIKE = (
    ("min", "max"),
    ("any", "all"),
    ("ceil", "floor"),
    ("append", "extend"),
    ("lower", "upper"),
    ("startswith", "endswith"),
    ("lstrip", "rstrip"),
    ("ljust", "rjust"),
    ("find", "rfind"),
    ("split", "rsplit"),
    ("partition", "rpartition"),
    ("keys", "values"),
    ("items", "values"),
    ("union", "intersection"),
    ("add", "discard"),
    ("bisect_left", "bisect_right"),
    ("appendleft", "append"),
    ("popleft", "pop"),
    ("sin", "cos"),
    ("zeros", "ones"),
    ("sum", "max"),
    ("argmin", "argmax"),
    ("isinstance", "issubclass"),
    ("takewhile", "dropwhile"),
)
_TWINS = {one: other for pair in _ALIKE for one, other in (pair, pair[::-1])}


def comparison(code: Code, node: ast.AST) -> Iterator[Edit]:
    """Another comparison: the neighbouring one, or the opposite."""
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        for place, kind in enumerate(node.ops):
            pattern, others = _COMPARISONS[type(kind)]
            for other in others:
                yield from code.between(sides[place], sides[place + 1], pattern, other)


def boolean(code: Code, node: ast.AST) -> Iterator[Edit]:
    """`and` for `or`, and the other way round."""
    if isinstance(node, ast.BoolOp):
        own, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            yield from code.between(left, right, rf"\b{own}\b", other)


def arithmetic(code: Code, node: ast.AST) -> Iterator[Edit]:
    """Another arithmetic operator."""
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        pattern, others = _ARITHMETIC[type(node.op)]
        for other in others:
            yield from code.between(node.left, node.right, pattern, other)
    elif isinstance(node, ast.AugAssign) and type(node.op) in _ARITHMETIC:
        pattern, others = _ARITHMETIC[type(node.op)]
        for other in others:
            yield from code.between(node.target, node.value, pattern + "=", other + "=")


def constant(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A number that is off by one, or the other truth value."""
    if not isinstance(node, ast.Constant):
        return
    if isinstance(node.value, bool):
        yield code.replace(node, str(not node.value))
    elif isinstance(node.value, int) and node.value < _LARGEST:
        yield code.replace(node, str(node.value + 1))
        if node.value > 0:
            yield code.replace(node, str(node.value - 1))


def boundary(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A range, a slice or an index that begins or ends one too early or too late."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        if len(node.args) == 1:
            yield code.replace(node.args[0], f"1, {code.told(node.args[0])}")
        for limit in node.args[:2]:
            yield from _shifted(code, limit)
    elif isinstance(node, ast.Slice):
        for limit in filter(None, (node.lower, node.upper)):
            yield from _shifted(code, limit)
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Name | ast.BinOp):
        yield from _shifted(code, node.slice)


def _shifted(code: Code, limit: ast.expr) -> Iterator[Edit]:
    if isinstance(limit, ast.Name | ast.Call | ast.Attribute | ast.Subscript | ast.BinOp):
        for other in (" - 1", " + 1"):
            yield code.replace(limit, code.told(limit) + other)


def condition(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A condition that is negated."""
    tests = [node.test] if isinstance(node, ast.If | ast.While | ast.IfExp) else []
    tests += node.ifs if isinstance(node, ast.comprehension) else []
    for test in tests:
        if not (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)):
            simple = isinstance(test, ast.Name | ast.Call | ast.Attribute | ast.Subscript)
            yield code.replace(test, f"not {code.told(test)}" if simple else f"not ({code.told(test)})")


def negation(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A `not` or a minus sign that is missing."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        told = code.told(node)[3 if isinstance(node.op, ast.Not) else 1 :].strip()
        yield code.replace(node, told)


def arguments(code: Code, node: ast.AST) -> Iterator[Edit]:
    """Two neighbouring arguments that have changed places."""
    if isinstance(node, ast.Call) and not any(isinstance(one, ast.Starred) for one in node.args):
        for left, right in zip(node.args, node.args[1:], strict=False):
            if ast.dump(left) != ast.dump(right):
                start, end = code.start(left), code.end(right)
                middle = code.text[code.end(left) : code.start(right)]
                yield Edit(start=start, end=end, text=code.told(right) + middle + code.told(left))


def default(code: Code, node: ast.AST) -> Iterator[Edit]:
    """Another default of a parameter."""
    if node is code.function:
        values = [*code.function.args.defaults, *filter(None, code.function.args.kw_defaults)]
        for value in values:
            yield from constant(code, value)


def statement(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A short statement that is missing: one whose names are there without it."""
    for body in _bodies(node):
        for place, one in enumerate(body):
            if _can_go(code, one, body[:place]) and len(body) > 1 and _alone(code, one):
                start = code.at(one.lineno, 0)
                yield Edit(start=start, end=min(code.end(one) + 1, len(code.text)), text="")


def leaving(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A loop that is left too early, or not at all; a function that gives its result too early."""
    if isinstance(node, ast.Break):
        yield code.replace(node, "continue")
    elif isinstance(node, ast.Continue):
        yield code.replace(node, "break")
    elif isinstance(node, _LOOP):
        last = node.body[-1]
        if not isinstance(last, ast.Break | ast.Continue | ast.Return | ast.Raise) and _alone(code, last):
            yield Edit(start=code.end(last), end=code.end(last), text=f"\n{' ' * last.col_offset}break")
    for body in _bodies(node):
        for place, one in enumerate(body[1:], 1):
            if isinstance(one, ast.Return) and one.value is not None and isinstance(body[place - 1], ast.If | _LOOP):
                before = body[place - 1]
                start = code.at(before.lineno, 0)
                # The result is given before what stands above it, which is then never reached.
                yield Edit(start=start, end=start, text=f"{' ' * one.col_offset}{code.told(one)}\n")


def name(code: Code, node: ast.AST) -> Iterator[Edit]:
    """Another parameter than the one that is meant."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in code.parameters:
        others = [one for one in code.parameters if one != node.id]
        if others:
            place = list(code.parameters).index(node.id)
            yield code.replace(node, others[place % len(others)])


def call(code: Code, node: ast.AST) -> Iterator[Edit]:
    """A function or method that is easily taken for the right one."""
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id in _TWINS:
            yield code.replace(node.func, _TWINS[node.func.id])
        elif isinstance(node.func, ast.Attribute) and node.func.attr in _TWINS:
            end = code.end(node.func)
            yield Edit(start=end - len(node.func.attr), end=end, text=_TWINS[node.func.attr])


Operator = Callable[[Code, ast.AST], Iterator[Edit]]
OPERATORS: dict[str, Operator] = {
    one.__name__: one
    for one in (
        arguments,
        arithmetic,
        boolean,
        boundary,
        call,
        comparison,
        condition,
        constant,
        default,
        leaving,
        name,
        negation,
        statement,
    )
}


def edits_of(text: str) -> dict[str, list[Edit]]:
    """Return by operator the edits of a function's text, in the order of the text. `mutant` says which of them hold."""
    function = ast.parse(text).body[0]
    assert isinstance(function, _FUNCTION), "it is the text of a function"
    code = Code(text=text, function=function)
    found: dict[str, set[Edit]] = {operator: set() for operator in OPERATORS}
    for node in _nodes(function):
        for operator, make in OPERATORS.items():
            found[operator].update(make(code, node))
    return {operator: sorted(edits) for operator, edits in found.items()}


def mutant(text: str, edit: Edit) -> str | None:
    """Return a function's text with the edit made; None where that is no function, or no other one."""
    made = edit.on(text)
    try:
        body = ast.parse(made).body
    except SyntaxError:
        return None
    other = len(body) == 1 and isinstance(body[0], _FUNCTION) and ast.dump(body[0]) != ast.dump(ast.parse(text).body[0])
    return made if other else None


def _nodes(function: _FUNCTION) -> Iterator[ast.AST]:
    """Yield the function and what can be changed in its body: inside an f-string, the tree tells no places."""
    yield function
    todo: list[ast.AST] = list(reversed(function.body))
    while todo:
        node = todo.pop()
        if isinstance(node, _CHANGED):
            yield node
        if not isinstance(node, ast.JoinedStr):
            todo += reversed(list(ast.iter_child_nodes(node)))


def _bodies(node: ast.AST) -> list[list[ast.stmt]]:
    if not isinstance(node, ast.stmt | ast.ExceptHandler):
        return []
    found = [getattr(node, part, None) for part in ("body", "orelse", "finalbody")]
    return [body for body in found if isinstance(body, list)]


def _can_go(code: Code, one: ast.stmt, before: Sequence[ast.stmt]) -> bool:
    if code.told(one).count("\n") >= _LONGEST_STATEMENT:
        return False
    if isinstance(one, ast.AugAssign):
        return True
    if isinstance(one, ast.Expr):
        return isinstance(one.value, ast.Call)
    if isinstance(one, ast.If):
        return not one.orelse and isinstance(one.body[-1], ast.Return | ast.Raise | ast.Continue | ast.Break)
    if isinstance(one, ast.Assign):
        known = {*code.parameters, *(name for each in before for name in _bound(each))}
        return all(not isinstance(target, ast.Name) or target.id in known for target in one.targets)
    return False


def _bound(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement gives a value."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            yield inner.id


def _alone(code: Code, one: ast.stmt) -> bool:
    """Tell whether nothing else stands on the lines of a statement."""
    assert one.end_lineno is not None, "the parser sets it"
    before = code.text[code.at(one.lineno, 0) : code.start(one)]
    after = code.text[code.end(one) : code.at(one.end_lineno, 0) + len(code.text.split("\n")[one.end_lineno - 1])]
    return not before.strip() and not after.strip()
