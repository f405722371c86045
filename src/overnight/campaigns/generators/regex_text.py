"""What a regular expression looks like: its tokens, its skeleton, and whether matching it could take for ever. Pure."""

import re

LONGEST = 400
"""Characters of the longest expression that is looked at."""
_TOKEN = re.compile(
    r"""\\.                             # an escaped character, or a class such as \d
    | \[\^?\]?(?:\\.|[^\]\\])*\]        # a set
    | \(\?P<\w+>|\(\?P=\w+\)            # a named group, and what it has matched
    | \(\?[a-zA-Z-]+:|\(\?<?[=!]|\(\?[:>]
    | \{\d*,?\d*\}                      # a count
    | .""",
    re.VERBOSE | re.DOTALL,
)
_MOST_OPEN = 4
_MOST_NESTED = 8


def skeleton(pattern: str) -> str:
    """Return the expression with fixed text as `l`, any set as `c` and any count as `{0}`.

    Two expressions that differ in nothing but characters and numbers share it. A choice between texts counts as one
    between two of them.
    """
    parts = "".join(_part(sign) for sign in _TOKEN.findall(pattern))
    return re.sub(r"l(?:\|l)+", "l|l", re.sub(r"l+", "l", parts))


def _part(sign: str) -> str:
    if sign[0] == "[" or sign in ("\\d", "\\w", "\\s"):
        return "c"
    if sign[0] == "{":
        return "{0}"
    if sign[0] == "\\" and sign[1].isdigit():
        return "(="
    if sign.startswith("(?P"):
        return "(=" if sign[3] == "=" else "(<"
    return sign if sign[0] in "()|*+?.^$" else "l"


def endless(pattern: str) -> bool:
    """Return whether matching could take a time that grows beyond all bounds with the text.

    That takes a repeat of what can itself match a text in several ways: a repeat or alternatives, repeated more than a
    few times. It is refused wherever it is written, also where it would do no harm; and so are many open repeats, one
    after the other, each of which multiplies the time by the length of the text.
    """
    varies = [False]
    before = False
    open_repeats = 0
    for sign in _TOKEN.findall(pattern):
        most = _most(sign)
        if most is not None:
            if before and most > _MOST_NESTED:
                return True
            open_repeats += most > LONGEST
            varies[-1] = varies[-1] or before or sign[-2:-1] == "," or "," in sign or sign in "*+?"
            before = False
        elif sign[0] == "(" and not sign.startswith("(?P="):
            varies.append(False)
            before = False
        elif sign == ")" and len(varies) > 1:
            before = varies.pop()
            varies[-1] = varies[-1] or before
        else:
            before = False
            varies[-1] = varies[-1] or sign == "|"
    return open_repeats > _MOST_OPEN


def _most(sign: str) -> int | None:
    """Return how often a token repeats what stands before it; None where it is no repeat."""
    if sign in ("*", "+"):
        return LONGEST + 1
    if sign == "?":
        return 1
    if sign[0] != "{" or sign == "{":
        return None
    last = sign[1:-1].rpartition(",")[2]
    return min(int(last), LONGEST + 1) if last else LONGEST + 1
