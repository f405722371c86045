"""Titles, descriptions and tags of a video, in the styles that are tried against each other. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

Json = Mapping[str, Any]  # Any: what agents have written

PLAIN = "plain"
STYLES: Mapping[str, str] = {
    PLAIN: "{topic}: {angle}",
    "question": "{topic}? Let us see {angle}",
    "promise": "{topic}, made clear: {angle}",
}
"""Templates of titles by the name of their style; the style guide's own template stands for the first of the three."""
VARIANTS = ("a", "b", "c")
MOST_TITLE, MOST_DESCRIPTION, MOST_TAGS = 100, 4800, 480
"""Characters that YouTube takes, with some room."""


def variants(topic: Json, script: Json, assembly: Json) -> list[dict[str, str]]:
    """Return the three variants of a video: {variant, style, title, thumbnail, description}."""
    first, head = str(script["title"]), _head(topic, script)
    found = []
    for variant, (style, template) in zip(VARIANTS, STYLES.items(), strict=True):
        title = first if style == PLAIN else template.format(**head)
        found.append(
            {
                "variant": variant,
                "style": style,
                "title": _cut(title, MOST_TITLE),
                "thumbnail": f"thumbnail_{variant}.png",
                "description": description(style, script, assembly),
            }
        )
    return found


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
    }[style]
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


def preferred(tests: Iterable[Json]) -> tuple[str, str]:
    """Return the style that decided A/B tests have found to be better most often, and why it is taken, in words.

    Where none was decided, or two styles have won as often, it is the default template.
    """
    won: dict[str, list[str]] = {}
    for test in tests:
        if test.get("status") == "decided":
            style = next((str(one["style"]) for one in test["variants"] if one["variant"] == test["winner"]), "")
            if style in STYLES:
                won.setdefault(style, []).append(str(test["test_id"]))
    order = sorted(won, key=lambda style: -len(won[style]))
    if not order:
        return PLAIN, "the default template: no A/B test has been decided yet"
    best = order[0]
    told = ", ".join(f"{style} won {len(won[style])}" for style in order)
    if len(order) > 1 and len(won[best]) == len(won[order[1]]):
        return PLAIN, f"the default template: the decided A/B tests do not agree ({told})"
    return best, f"A/B tests: {told} ({', '.join(won[best][-3:])})"


def clock(seconds: float) -> str:
    """Return seconds as minutes and seconds: 1:05."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _head(topic: Json, script: Json) -> dict[str, str]:
    """Return topic and angle as the script's title has them: "Hash tables: the cost"."""
    before, _, after = str(script["title"]).partition(": ")
    return {"topic": before or str(topic["topic"]), "angle": after or "the idea"}


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rsplit(' ', 1)[0]}\u2026"
