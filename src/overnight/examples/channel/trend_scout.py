"""The trend scout: proposes changes of CHANNEL_STYLE_GUIDE.md, each with the figures behind it.

What can be proposed follows from what was measured: another template of titles where decided A/B tests prefer a style,
and another length where videos that stand out are longer or shorter than those that fall behind. Where nothing was
measured, nothing is proposed. The proposal is a unified diff in `.overnight/data/style_proposal.json`:

    {made_at, diff, changes: [{rule, before, after, why, figures}], base, state: "proposed"}

`base` is the hash of the guide that the diff is for.
"""

import json
import re
import tomllib
from collections.abc import Sequence
from difflib import unified_diff
from hashlib import sha256
from pathlib import Path
from statistics import mean
from typing import Any

import channel_files as files
import style_guide
import video_texts

from overnight.base.clock import SystemClock, iso
from overnight.base.files import text_of, write_json
from overnight.base.ports import RunContext

Json = dict[str, Any]  # Any: what an agent has written
PROPOSAL = files.DATA / "style_proposal.json"
FEWEST = 3
"""Winners, and underperformers, that a length is proposed from; and tests that a style of titles has to have won."""
STEP_MINUTES = 0.5
"""By how much a length is changed at a time."""


def trend_scout(ctx: RunContext) -> Json:
    """Look at what was found, and propose what follows from it for the style guide."""
    guide = text_of(Path(style_guide.FILE))
    rules = rules_of(guide)
    tests = list(files.every(files.AB).values())
    changes = [one for one in (_title(rules, tests), _minutes(rules, _recommendations(), _lengths())) if one]
    if not changes:
        ctx.progress(1, 1, changes=0)
        return {"proposed": False, "why": f"no {FEWEST} A/B tests or videos on a side point to a change"}
    proposal = {
        "made_at": iso(SystemClock().now_us()),
        "diff": diff(guide, changed(guide, changes)),
        "changes": changes,
        "base": hash_of(guide),
        "state": "proposed",
    }
    write_json(PROPOSAL, proposal)
    ctx.progress(1, 1, changes=len(changes))
    return {"proposed": True, "diff": proposal["diff"], "changes": changes}


def rules_of(guide: str) -> Json:
    """Return the rules that agents follow, as they are written."""
    style_guide.parse(guide)
    return tomllib.loads(_block(guide))


def changed(guide: str, changes: Sequence[Json]) -> str:
    """Return the guide with other values of some rules; comments and all else stay as they are."""
    for one in changes:
        value = json.dumps(one["after"], ensure_ascii=False)
        line = re.compile(rf"^({one['rule']}\s*=\s*)(\"(?:[^\"\\]|\\.)*\"|\[[^\]]*\]|[^\s#]+)", re.MULTILINE)
        block = _block(guide)
        found = line.search(block)
        assert found is not None, "the guide has all rules"
        guide = guide.replace(block, block[: found.end(1)] + value + block[found.end() :])
    return guide


def diff(before: str, after: str) -> str:
    """Return a unified diff of the style guide."""
    lines = unified_diff(
        before.splitlines(keepends=True),
        after.splitlines(keepends=True),
        f"a/{style_guide.FILE}",
        f"b/{style_guide.FILE}",
    )
    return "".join(lines)


def hash_of(guide: str) -> str:
    """Return what tells a guide from every other."""
    return sha256(guide.encode()).hexdigest()


def _block(guide: str) -> str:
    found = re.search(r"^```toml\n(.*?)^```", guide, re.DOTALL | re.MULTILINE)
    assert found is not None, "the guide was parsed"
    return found[1]


def _title(rules: Json, tests: Sequence[Json]) -> Json | None:
    """Return a change to the template of the style that has won most tests, and enough of them."""
    style, why = video_texts.preferred(tests)
    won = [one for one in tests if one.get("status") == "decided" and _style_of(one) == style]
    template = video_texts.STYLES.get(style, rules["title_template"])
    if len(won) < FEWEST or rules["title_template"] == template:
        return None
    figures = [{"test_id": one["test_id"], "criterion": one["criterion"], "figures": one["figures"]} for one in won]
    return _change(rules, "title_template", template, why, figures)


def _style_of(test: Json) -> str:
    return next(str(one["style"]) for one in test["variants"] if one["variant"] == test["winner"])


def _minutes(rules: Json, recommendations: Json, lengths: dict[str, float]) -> Json | None:
    """Return a change of the length towards the winners', where these and the underperformers do not overlap."""
    sides = [
        {one: lengths[one] for one in recommendations.get(side, []) if one in lengths}
        for side in ("winners", "underperformers")
    ]
    won, lost = sides
    if min(len(won), len(lost)) < FEWEST:
        return None
    longer, shorter = min(won.values()) > max(lost.values()), max(won.values()) < min(lost.values())
    if not longer and not shorter:
        return None
    after = rules["minutes"] + (STEP_MINUTES if longer else -STEP_MINUTES)
    after = max(rules["shortest_minutes"], min(rules["longest_minutes"], after))
    towards = mean(won.values())
    if after == rules["minutes"] or abs(towards - after) > abs(towards - rules["minutes"]):
        return None
    words = "longer" if longer else "shorter"
    why = (
        f"all {len(won)} winners ({min(won.values()):.1f} to {max(won.values()):.1f} minutes) are {words} than all "
        f"{len(lost)} underperformers ({min(lost.values()):.1f} to {max(lost.values()):.1f} minutes)"
    )
    return _change(rules, "minutes", after, why, [{"winners": won, "underperformers": lost}])


def _change(rules: Json, rule: str, after: object, why: str, figures: list[Json]) -> Json:
    return {"rule": rule, "before": rules[rule], "after": after, "why": why, "figures": figures}


def _recommendations() -> Json:
    try:
        return json.loads(files.RECOMMENDATIONS.read_text())  # type: ignore[no-any-return]  # JSON
    except FileNotFoundError:
        return {}


def _lengths() -> dict[str, float]:
    return {one: assembly["duration_s"] / 60 for one, assembly in files.every(files.ASSEMBLY).items()}
