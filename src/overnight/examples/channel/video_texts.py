"""Titles, descriptions and tags of a video, in the styles that are tried against each other. Pure."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from angles import ANGLES

Json = Mapping[str, Any]  # Any: what agents have written

OWN, PLAIN = "own", "plain"
STYLES: Mapping[str, str] = {
    PLAIN: "{topic}: {angle}",
    "question": "{topic}? Let us see {angle}",
    "promise": "{topic}, made clear: {angle}",
}
"""Templates of titles by the name of their style; a script's title that is of none of them has the style `OWN`."""
VARIANTS = ("a", "b", "c")
MOST_TITLE, MOST_DESCRIPTION, MOST_TAGS = 100, 4800, 480
"""Characters that YouTube takes, with some room."""


def variants(topic: Json, script: Json, assembly: Json) -> list[dict[str, str]]:
    """Return the three variants of a video: {variant, style, title, thumbnail, description}.

    The first has the title that the script has, by the style guide; the others have styles that this one has not.
    """
    titles = _titles(topic, script)
    return [
        {
            "variant": variant,
            "style": style,
            "title": title,
            "thumbnail": f"thumbnail_{variant}.png",
            "description": description(style, script, assembly),
        }
        for variant, (style, title) in zip(VARIANTS, titles.items(), strict=True)
    ]


def head_of(topic: Json, script: Json) -> dict[str, str]:
    """Return what the title of a video is made of: topic and angle. Scripts of old do not hold it; their topics do."""
    name = str(topic["topic"])
    return dict(script.get("head") or {"topic": name[:1].upper() + name[1:], "angle": ANGLES[topic["angle"]].label})


def description(style: str, script: Json, assembly: Json) -> str:
    """Return what stands below a video: what it is about, its chapters, and the sources of what it says."""
    about = str(script["summary"])
    chapters = [f"{clock(one['begin_s'])} {one['title']}" for one in assembly.get("chapters", [])]
    listed = "\n".join(["Chapters", *chapters]) if len(chapters) > 1 else ""
    sources = (
        "\n".join(["Sources", *(f"- {source(one)}" for one in script["citations"])]) if script["citations"] else ""
    )
    parts = {
        PLAIN: [about, listed, sources],
        "question": [str(script["hook"]), about, listed, sources],
        "promise": [listed or str(script["intro"]), about, sources],
    }[PLAIN if style == OWN else style]
    return _cut("\n\n".join(part for part in [*parts, str(script["cta"])] if part), MOST_DESCRIPTION)


def tags(topic: Json) -> list[str]:
    """Return the topic and its keywords, as many as there is room for."""
    found: list[str] = []
    for word in dict.fromkeys([str(topic["topic"]), *map(str, topic.get("research_keywords", []))]):
        if sum(len(one) + 3 for one in [*found, word]) <= MOST_TAGS:
            found.append(word)
    return found


def source(citation: Json) -> str:
    """Return in words where a citation is from."""
    where = f"{citation.get('heading') or citation['document']} ({citation['document']})"
    return f"{where}: {citation['url']}" if citation.get("url") else where


def preferred(tests: Iterable[Json], offered: Collection[str] = (OWN, *STYLES)) -> tuple[str, str]:
    """Return the style that decided A/B tests have found to be better most often, and why it is taken, in words.

    Only styles that are `offered` are counted. Where no test was decided, or two styles have won as often, the title
    stays the script's own, by the default template.
    """
    won: dict[str, list[str]] = {}
    for test in tests:
        if test.get("status") == "decided":
            style = next((str(one["style"]) for one in test["variants"] if one["variant"] == test["winner"]), "")
            if style in offered:
                won.setdefault(style, []).append(str(test["test_id"]))
    order = sorted(won, key=lambda style: -len(won[style]))
    if not order:
        return OWN, "the default template: no A/B test has been decided yet"
    best = order[0]
    told = ", ".join(f"{style} won {len(won[style])}" for style in order)
    if len(order) > 1 and len(won[best]) == len(won[order[1]]):
        return OWN, f"the default template: the decided A/B tests do not agree ({told})"
    return best, f"A/B tests: {told} ({', '.join(won[best][-3:])})"


def clock(seconds: float) -> str:
    """Return seconds as minutes and seconds: 1:05."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _titles(topic: Json, script: Json) -> dict[str, str]:
    """Return three titles by their styles, the script's own first."""
    head, own = head_of(topic, script), str(script["title"])
    first = next((style for style, template in STYLES.items() if template.format(**head) == own), OWN)
    titles = {style: _fitting(template, head) for style, template in STYLES.items()}
    others = [style for style in STYLES if style != (PLAIN if first == OWN else first)]
    return {first: titles.get(first, _cut(own, MOST_TITLE)), **{style: titles[style] for style in others}}


def _fitting(template: str, head: Mapping[str, str]) -> str:
    """Return a title that fits: a long topic is cut, so that titles of different styles stay different."""
    room = MOST_TITLE - len(template.format(topic="", angle=head["angle"]))
    return template.format(topic=_cut(head["topic"], room), angle=head["angle"])


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rsplit(' ', 1)[0]}\u2026"
