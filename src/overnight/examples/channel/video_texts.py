"""Titles, descriptions and tags of a video, in the styles that are tried against each other. Pure."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from angles import ANGLES, Role, points_of, role_of
from prose import compares, terms, words

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
"""YouTube takes 100 characters of a title, 5,000 bytes of a description (the uploader adds a line), 500 of all tags.

So its documentation says, as far as is known here, and that neither title nor description may hold < or >
(developers.google.com/youtube/v3/docs/videos).
"""
_ELLIPSIS = "\u2026"
_SIGNS = str.maketrans({"<": "\u2039", ">": "\u203a"})


def variants(topic: Json, script: Json, assembly: Json) -> list[dict[str, str]]:
    """Return the three variants of a video: {variant, style, title, thumbnail, description}.

    The first has the title that the script has, by the style guide; the others have styles that this one has not.
    """
    titles = _titles(topic, script)
    return [
        {
            "variant": variant,
            "style": style,
            "title": title.translate(_SIGNS),
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
    about = " ".join(points_of(str(script["summary"])))
    chapters = [f"{clock(one['begin_s'])} {one['title']}" for one in assembly.get("chapters", [])]
    listed = "\n".join(["Chapters", *chapters]) if len(chapters) > 1 else ""
    cited = [f"- {': '.join(filter(None, (one['text'], one['url'])))}" for one in sources(script)]
    told = "\n".join(["Sources", *cited]) if cited else ""
    parts = {
        PLAIN: [about, listed, told],
        "question": [str(script["hook"]), about, listed, told],
        "promise": [listed or str(script["intro"]), about, told],
    }[PLAIN if style == OWN else style]
    whole = "\n\n".join(part for part in [*parts, str(script["cta"])] if part)
    return _cut_to_bytes(whole.translate(_SIGNS), MOST_DESCRIPTION)


def sources(script: Json) -> list[dict[str, str | None]]:
    """Return the documents that a script cites: {text, url}, each once, with the headings that say what is from it."""
    found: dict[tuple[str, str | None], list[str]] = {}
    for one in script["citations"]:
        headings = found.setdefault((str(one["document"]), one.get("url")), [])
        heading = str(one.get("heading") or one["document"])
        if heading not in headings and role_of(heading, one["document"]) not in (Role.LEAD, Role.SUMMARY):
            headings.append(heading)
    return [
        {"text": f"{document} ({'; '.join(headings)})" if headings else document, "url": url}
        for (document, url), headings in found.items()
    ]


def tags(topic: Json, script: Json) -> list[str]:
    """Return what a video can be found by, as much as there is room for: what it is about, the side, words of headings.

    A keyword that is in no heading, or that only compares ("nearest"), names nothing that anybody looks for.
    """
    name, cited = head_of(topic, script)["topic"], script["citations"]
    documents = list(dict.fromkeys(str(one["document"]) for one in cited))
    headed = set(terms(" ".join(str(one.get("heading", "")) for one in cited)))
    keywords = [str(word) for word in topic.get("research_keywords", []) if headed.intersection(terms(str(word)))]
    named = [word.lower() for word in (*words(" ".join(documents)), *keywords) if terms(word) and not compares(word)]
    side = [] if topic["angle"] in words(name.lower()) else [f"{name} {topic['angle']}"]
    found: dict[str, str] = {}
    for tag in (name, *documents, *side, *named):
        if sum(len(one) + 3 for one in [*found, tag]) <= MOST_TAGS:
            found.setdefault(tag.lower(), tag)
    return list(found.values())


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
    return text if len(text) <= most else f"{text[: most - 1].rsplit(' ', 1)[0]}{_ELLIPSIS}"


def _cut_to_bytes(text: str, most: int) -> str:
    """Return as much of a text as fits into so many bytes: whole words, and no part of a character."""
    whole = text.encode()
    if len(whole) <= most:
        return text
    begins = whole[: most - len(_ELLIPSIS.encode())].decode(errors="ignore")
    return f"{begins.rsplit(maxsplit=1)[0]}{_ELLIPSIS}"
