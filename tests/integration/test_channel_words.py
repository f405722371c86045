"""The words of the channel: what is known and cited, what is planned, and scripts and lessons that can be spoken."""

import json
import re
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from llm_server import LlmServer, Reply, in_turn, says
from overnight import Project
from overnight.base.errors import ConfigError, MissingExtra, NotMeasured, PermanentError, UnknownName, UserMistake
from overnight.studio.errors import NoRoom, Stopped
from overnight.studio.markup import Cue, parse

EXAMPLE = Path(__file__).parents[2] / "src" / "overnight" / "examples" / "channel"
sys.path.append(str(EXAMPLE))

import catching_up  # noqa: E402
import channel_files as files  # noqa: E402
import claim_checks  # noqa: E402
import curator as curating  # noqa: E402
import designer as designing  # noqa: E402
import documents  # noqa: E402
import gaps  # noqa: E402
import jargon  # noqa: E402
import knowledge as knowing  # noqa: E402
import llm_writer  # noqa: E402
import narrating  # noqa: E402
import planning  # noqa: E402
import prose  # noqa: E402
import script_quality  # noqa: E402
import scriptwriter as writing  # noqa: E402
import style_guide  # noqa: E402
from angles import ANGLES, HOOK_ENDS  # noqa: E402

GUIDE = style_guide.load(EXAMPLE)
NOW = datetime(2026, 7, 4, tzinfo=UTC)


class Context:
    """What an agent asks of the engine."""

    cancelled = False

    def __init__(self, scheduled: datetime = NOW) -> None:
        self.scheduled, self.counts = scheduled, Counter[str]()

    def progress(self, done: float, total: float | None = None, **figures: float | str) -> None:
        pass

    def count(self, name: str, number: float = 1) -> None:
        self.counts[name] += number


@pytest.fixture(scope="module")
def known() -> knowing.Knowledge:
    return knowing.load(EXAMPLE)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder with the style guide and two documents, in which the agents work."""
    (tmp_path / "knowledge").mkdir()
    for name in ("CHANNEL_STYLE_GUIDE.md", "knowledge/binary-search.md", "knowledge/hash-tables.md"):
        (tmp_path / name).write_text((EXAMPLE / name).read_text())
    monkeypatch.chdir(tmp_path)
    for name in ("URL", "MODEL", "KEY", "BUDGET_TOKENS"):
        monkeypatch.delenv(f"CHANNEL_LLM_{name}", raising=False)
    return tmp_path


def topic_of(name: str = "Binary search", angle: str = "cost", slot: str = "2026-07-04T00:00", **more) -> dict:
    told = {
        "video_id": files.video_id_of(slot, f"{name} {angle}"),
        "topic": name,
        "slot": slot,
        "angle": angle,
        "research_keywords": [],
        "sources": [],
        "reason": "a test wants it",
    }
    return told | more


def put(name: str = "Binary search", angle: str = "cost", slot: str = "2026-07-04T00:00", **more) -> str:
    topic = topic_of(name, angle, slot, **more)
    files.write(topic["video_id"], files.TOPIC, topic)
    return topic["video_id"]


@pytest.fixture(scope="module")
def scripts(known: knowing.Knowledge) -> list[dict]:
    """A script of each side of each document that ships."""
    return [
        writing.script_of(
            topic_of(title, angle, sources=[name], research_keywords=curating.keywords(name, angle, known)),
            known,
            GUIDE,
            EXAMPLE,
        )
        for name, title in known.titles.items()
        for angle in ANGLES
    ]


# ---- Files ----


def test_oldest_video_that_has_what_it_needs_comes_next(root):
    late, early = put(slot="2026-07-04T08:00"), put(slot="2026-07-04T04:00")
    assert files.next_for(files.SCRIPT, needs=files.TOPIC) == early
    files.write(early, files.SCRIPT, {})
    assert files.next_for(files.SCRIPT, needs=files.TOPIC) == late
    assert files.next_for(files.LESSON, needs=(files.TOPIC, files.SCRIPT)) == early


def test_refused_video_comes_next_for_nobody(root):
    video = put()
    files.refuse(video, by="scriptwriter", reason="no sources")
    assert files.next_for(files.SCRIPT, needs=files.TOPIC) is None


def test_id_that_would_lead_elsewhere_is_refused(root):
    with pytest.raises(UnknownName, match=r"'\.\./x' is no id of a video"):
        files.read("../x", files.TOPIC)


def test_damaged_file_says_what_to_do(root):
    video = put()
    (files.folder_of(video) / files.SCRIPT).write_text("{")
    with pytest.raises(PermanentError, match=r"script\.json: cannot be read: .*; remove it to have it made again"):
        files.read(video, files.SCRIPT)


# ---- Documents and knowledge ----


def test_shipped_documents_have_600_to_900_words_and_programs_that_run(known):
    assert len(known.titles) == 24
    for path in sorted((EXAMPLE / "knowledge").glob("*.md")):
        text = path.read_text()
        assert 600 <= len(text.split()) <= 900, path.name
        programs = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        assert programs, path.name
        for program in programs:
            exec(compile(program, path.name, "exec"), {})


def test_markdown_keeps_lists_tables_code_and_numbers_at_the_begin_of_a_line():
    text = (
        "# T\n\nIt was number\n23. Then `more` of **it**.\n\n1. one\n2. two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n"
        "```py\nx = 1\n```\n"
    )
    [section] = documents.markdown(text).sections
    assert [(block.kind, block.text or block.rows) for block in section.blocks] == [
        ("text", "It was number 23. Then more of it."),
        ("item", "one"),
        ("item", "two"),
        ("table", (("a", "b"), ("1", "2"))),
        ("code", "x = 1"),
    ]


def test_html_gives_sections_without_scripts_and_navigation():
    page = (
        "<html><head><title>x</title><style>p {}</style></head><body><nav>menu</nav><h1>Skip lists</h1>"
        "<p>A list &amp; more.</p><h2>Cost</h2><ul><li>One</li><li>Two</li></ul>"
        "<table><tr><th>n</th></tr><tr><td>1</td></tr></table>"
        "<script>bad()</script><pre>a\n b</pre></body></html>"
    )
    found = documents.html(page)
    assert (found.title, [section.heading for section in found.sections]) == ("Skip lists", ["", "Cost"])
    assert found.sections[0].blocks[0].text == "A list & more."
    assert [str(block.kind) for block in found.sections[1].blocks] == ["item", "item", "table", "code"]
    assert found.sections[1].blocks[3].text == "a\n b"


def pdf_of(text: str) -> bytes:
    """Return a PDF of one page with a line of text; without text, one with nothing but a line that is drawn."""
    drawn = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET" if text else "0 0 m 100 100 l S"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        "/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream",
    ]
    content, places = "%PDF-1.4\n", []
    for number, one in enumerate(objects, 1):
        places.append(len(content))
        content += f"{number} 0 obj\n{one}\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    end = (
        f"xref\n0 5\n0000000000 65535 f \n{table}trailer\n<< /Size 5 /Root 1 0 R >>\nstartxref\n{len(content)}\n%%EOF\n"
    )
    return (content + end).encode()


def test_pdf_is_read_page_by_page_and_one_without_text_is_left_out(root):
    (root / "knowledge" / "skip-lists.pdf").write_bytes(pdf_of("A skip list has several levels."))
    (root / "knowledge" / "scan.pdf").write_bytes(pdf_of(""))
    (root / "knowledge" / "broken.pdf").write_bytes(b"%PDF-1.4 no")
    found = knowing.load(root)
    assert found.passage("skip-lists#page-1").text == "A skip list has several levels."
    broken, scan = found.problems
    assert broken.startswith("broken.pdf is no PDF that can be read")
    assert scan == "scan.pdf holds no text, perhaps only pictures of it; run a text recognition over it first"


def test_pdf_without_pypdf_is_one_clear_line_and_the_rest_is_read(root, monkeypatch):
    (root / "knowledge" / "a.pdf").write_bytes(pdf_of("x"))
    monkeypatch.setitem(sys.modules, "pypdf", None)
    found = knowing.load(root)
    assert found.problems == ("a.pdf is a PDF, and pypdf is not installed: pip install pypdf",)
    assert set(found.titles) == {"binary-search", "hash-tables"}


def test_document_that_is_no_utf_8_is_left_out_and_named(root):
    (root / "knowledge" / "old.md").write_bytes("# Caf\u00e9\n\nText.".encode("latin-1"))
    (root / "knowledge" / "empty.md").write_text("# Nothing\n")
    assert knowing.load(root).problems == ("empty.md holds no text", "old.md is not UTF-8 (byte 5); save it as UTF-8")


def test_empty_knowledge_base_is_one_clear_line(root):
    for path in (root / "knowledge").iterdir():
        path.unlink()
    (root / "knowledge" / "old.md").write_bytes(b"\xff")
    put()
    with pytest.raises(
        UserMistake, match=r"^the knowledge base is empty: put .* into knowledge/.*old\.md is not UTF-8"
    ):
        writing.scriptwriter(Context())
    with pytest.raises(UserMistake, match="the knowledge base is empty"):
        curating.curator(Context())


def test_best_passage_answers_and_can_be_cited(known):
    best = known.search("how many comparisons does binary search need for a million items")[0].passage
    assert best.document == "binary-search"
    cited = known.search("cost of binary search")[0].passage.citation()
    assert cited["id"] == "binary-search#what-binary-search-costs"
    assert (cited["document"], cited["heading"]) == ("Binary search", "What binary search costs")
    assert "at most 20 comparisons" in cited["text"]


def test_document_is_a_source_only_of_what_it_is_about(known):
    assert known.sources("hash table")[0] == "hash-tables"
    assert known.sources("Dijkstra's algorithm")[0] == "shortest-paths"
    assert known.sources("sourdough bread") == []
    assert known.sources("bubble sort") == []
    assert known.sources("") == []


def test_harvested_records_are_knowledge_and_trends_are_demand(root):
    rows = [
        {
            "id": "s1",
            "title": "Skip lists",
            "text": "# Skip lists\n\nA skip list is fast.\n\n## Cost\n\nIt takes 20 steps.",
        }
    ]
    wanted = [
        {"id": "t1", "title": "Hash tables explained", "views": 900},
        {"id": "t2", "title": "Radix sort explained", "views": 100},
    ]
    for name, lines in (("notes", rows), ("wishes", wanted)):
        (root / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (root / "overnight.toml").write_text(
        '[sources.notes]\nkind = "jsonl"\npath = "notes.jsonl"\n[categories.notes]\nthreshold = 0\n'
        '[sources.wishes]\nkind = "jsonl"\npath = "wishes.jsonl"\ncategory = "trend"\n'
        "[categories.trend]\nthreshold = 0\n"
    )
    with Project.open(root) as project:
        project.harvest("notes")
        project.harvest("trend")
    found = knowing.load(root)
    assert found.passage("notes-s1#cost").text == "It takes 20 steps."
    assert found.sources("skip lists") == ["notes-s1"]
    trends = knowing.newest_records(root)["trend"]
    assert gaps.demand_of(found, trends) == {"binary-search": 0.0, "hash-tables": 1.0, "notes-s1": 0.0}
    assert gaps.missing(found, trends)[0]["topic"] == "Radix sort explained"
    curating.curator(Context())
    entries = json.loads((root / curating.CALENDAR).read_text())["entries"]
    assert entries[0]["document"] == "hash-tables"
    assert "100 % of the strongest demand" in entries[0]["reason"]


# ---- Scripts ----


def test_every_side_of_every_document_makes_a_script_of_2_to_4_minutes(scripts):
    assert len(scripts) == 168
    for script in scripts:
        spoken = script_quality.spoken(script)
        assert 300 <= script["word_count"] == len(prose.words(spoken)) <= 600, script["title"]
        assert 120 <= script["estimated_duration_seconds"] <= 240, script["title"]
        assert 3 <= len(script["sections"]) <= 5
        assert script["composed_by"] == "extractive"
        assert script["quality_score"] >= 9, (script["title"], script["quality_issues"])


def test_no_two_scripts_are_equal(scripts):
    assert len({script["full_script"] for script in scripts}) == len(scripts)
    assert len({script["title"] for script in scripts}) == len(scripts)


def test_every_script_parses_shows_something_and_cites_each_section(scripts):
    for script in scripts:
        narration = parse(script["full_script"])
        assert narration.problems == ()
        cues = [piece for piece in narration.pieces if isinstance(piece, Cue)]
        shown = Counter(str(cue.show) for cue in cues)
        assert shown["title"] and shown["diagram"] + shown["table"] + shown["code"], script["title"]
        cited = [cue.content for cue in cues if cue.show == "citation"]
        assert cited == [section["source"] for section in script["sections"]]
        assert set(cited) <= {citation["id"] for citation in script["citations"]}


def test_every_sentence_with_a_number_stands_in_what_it_cites(scripts, known):
    for script in scripts:
        for section in script["sections"]:
            said = prose.sentences(section["content"])
            passage = known.passage(section["source"])
            assert all(one in passage.text for one in said if re.search(r"\d", one))
            claims = claim_checks.check(section["content"], section["title"], section["source"], [passage.text])
            assert [claim for claim in claims if not claim.supported] == []
        cited = " ".join(citation["text"] for citation in script["citations"])
        for part in ("hook", "intro", "summary", "cta"):
            assert all(one in cited for one in prose.sentences(script[part]) if re.search(r"\d", one)), script[part]


def test_no_sentence_is_cut_off_and_sections_begin_without_pronouns(scripts):
    for script in scripts:
        for sentence in prose.sentences(script_quality.spoken(script)):
            assert sentence.endswith((".", "!", "?")), sentence
        assert not prose.leans(script["hook"]), script["hook"]
        for section in script["sections"]:
            first_told = prose.sentences(section["content"])[1]
            assert first_told.split()[0] not in ("It", "They", "This", "That", "These", "He", "She"), first_told


def test_second_telling_takes_other_sections_where_there_are_any(root):
    first, second = put(slot="2026-07-04T00:00"), put(slot="2026-08-04T00:00")
    writing.scriptwriter(Context(), first)
    writing.scriptwriter(Context(), second)
    told = [[part["source"] for part in files.read(one, files.SCRIPT)["sections"]] for one in (first, second)]
    assert told[0] != told[1]
    assert "binary-search#what-binary-search-costs" in set(told[0]) & set(told[1])


GOOD = {
    "title": "Binary search: the cost",
    "hook": "A million items, and only 20 comparisons.",
    "intro": "Binary search halves a sorted list again and again.",
    "summary": "Order pays for itself when a list is searched often.",
    "cta": "Tell us what to explain next.",
    "sections": "".join(
        f"## {title} {{{source}}}\n"
        + text
        + " "
        + "The list is halved at every step, and that is all there is to it. " * 6
        + "\n"
        for title, source, text in (
            ("The idea", "binary-search#how-binary-search-works", "A list of 1,000 items shrinks to 500."),
            ("The cost", "binary-search#what-binary-search-costs", "A million items need at most 20 comparisons."),
            ("The traps", "binary-search#mistakes-to-avoid", "The list has to be sorted."),
        )
    ),
}


def asked(quality: str, value: str) -> Reply:
    return says(**{**GOOD, quality: value})


def with_model(monkeypatch: pytest.MonkeyPatch, server: LlmServer) -> dict:
    monkeypatch.setenv("CHANNEL_LLM_URL", server.url)
    monkeypatch.setenv("CHANNEL_LLM_MODEL", "small-1")
    monkeypatch.setenv("CHANNEL_LLM_KEY", "sk-very-secret")
    video = put()
    writing.scriptwriter(Context(), video)
    assert server.asked
    assert "sk-very-secret" not in (files.folder_of(video) / files.SCRIPT).read_text()
    return files.read(video, files.SCRIPT)


def test_script_of_a_model_is_taken_when_its_passages_say_so(root, monkeypatch):
    with LlmServer(in_turn(says(**GOOD))) as server:
        script = with_model(monkeypatch, server)
    assert script["composed_by"] == "small-1"
    assert "fallback" not in script
    assert [section["source"] for section in script["sections"]][1] == "binary-search#what-binary-search-costs"
    assert parse(script["full_script"]).problems == ()


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (Reply(content="I would rather talk about cats."), "without the form that was asked for"),
        (asked("sections", GOOD["sections"].replace("#mistakes-to-avoid", "#history")), "#history', which is none of"),
        (asked("sections", GOOD["sections"].replace("at most 20", "at most 12")), "it says '12'"),
        (asked("hook", "Only 7 comparisons for a million items."), "it says '7'"),
        (asked("sections", GOOD["sections"].split("## The traps")[0]), "it has 2 sections"),
        (asked("intro", "Binary search halves and"), "'intro' is not made of whole sentences"),
        (asked("hook", "Watch [pause 99] this."), "square brackets"),
        (asked("sections", GOOD["sections"] + "And again. " * 400), "where 300 to 600 are wanted"),
    ],
)
def test_nonsense_of_a_model_is_refused_and_the_knowledge_base_speaks(root, monkeypatch, reply, why):
    with LlmServer(in_turn(reply)) as server:
        script = with_model(monkeypatch, server)
    assert script["composed_by"] == "extractive"
    assert script["fallback"]["model"] == "small-1"
    assert why in script["fallback"]["why"]


def test_address_of_a_model_without_its_name_is_a_clear_line():
    with pytest.raises(ConfigError, match="CHANNEL_LLM_MODEL is not: name the model"):
        llm_writer.model_of({"CHANNEL_LLM_URL": "http://localhost:1/v1"})
    with pytest.raises(ConfigError, match="CHANNEL_LLM_BUDGET_TOKENS is not a whole number"):
        llm_writer.model_of({"CHANNEL_LLM_URL": "u", "CHANNEL_LLM_MODEL": "m", "CHANNEL_LLM_BUDGET_TOKENS": "many"})
    assert llm_writer.model_of({}) is None


# ---- What runs before have left ----


def test_scripts_of_hours_that_have_come_are_made_up_for_and_those_to_come_wait(root):
    slots = [put(slot=f"2026-07-{day:02}T{hour:02}:00") for day, hour in ((2, 20), (3, 0), (3, 20))]
    before, now, later = slots
    result = writing.scriptwriter(Context(datetime(2026, 7, 3, 4, tzinfo=UTC)))
    assert (result["video_id"], result["caught_up"]) == (before, [now])
    assert not files.has(later, files.SCRIPT)
    assert writing.scriptwriter(Context(datetime(2026, 7, 3, 8, tzinfo=UTC)))["video_id"] == later, "who asks gets one"


def test_an_agent_makes_what_runs_before_have_left_as_long_as_there_is_time(root, monkeypatch):
    left = [put(slot=f"2026-07-0{day}T00:00") for day in (1, 2, 3)]
    for _ in left:
        writing.scriptwriter(Context(datetime(2026, 6, 30, tzinfo=UTC)))
    with monkeypatch.context() as patched:
        patched.setattr(catching_up, "GO_ON_S", 0.0)
        assert designing.designer(Context())["caught_up"] == []
    done = designing.designer(Context())
    assert (done["video_id"], done["caught_up"]) == (left[1], [left[2]])
    assert designing.designer(Context()) == {"video_id": None, "refused": []}


def test_a_damaged_script_is_told_and_stops_no_other_lesson(root):
    broken, good = (put(slot=f"2026-07-0{day}T00:00") for day in (1, 2))
    for _ in (broken, good):
        writing.scriptwriter(Context(datetime(2026, 6, 30, tzinfo=UTC)))
    (files.folder_of(broken) / files.SCRIPT).write_text('{"title":')
    result = designing.designer(Context())
    assert (result["video_id"], result["caught_up"]) == (good, [])
    [problem] = result["problems"]
    assert problem["video_id"] == broken and "script.json: cannot be read" in problem["why"]
    with pytest.raises(PermanentError, match=r"script\.json: cannot be read"):
        designing.designer(Context(), video_id=broken)


def worked_off(**outcomes):
    """Work off videos, each of which is made, is refused (None) or fails; also return those that were begun."""
    begun: list[str] = []

    def make(one: str) -> dict | None:
        begun.append(one)
        if isinstance(outcomes[one], Exception):
            raise outcomes[one]
        return outcomes[one]

    return (lambda: catching_up.work_off(Context(), list(outcomes), make)), begun


def test_videos_that_cannot_be_made_are_told_with_the_problems_of_those_that_were():
    small = {"video_id": "b", "why": "a table is too wide"}
    work, _ = worked_off(a=KeyError("title"), b={"video_id": "b", "problems": [small]}, c=None, d=UserMistake("no"))
    assert work() == {
        "video_id": "b",
        "caught_up": [],
        "problems": [small, {"video_id": "a", "why": "KeyError: 'title'"}, {"video_id": "d", "why": "no"}],
    }


def test_where_no_video_could_be_made_the_first_reason_is_raised():
    work, begun = worked_off(a=PermanentError("first"), b=None, c=UserMistake("second"))
    with pytest.raises(PermanentError, match="first"):
        work()
    assert begun == ["a", "b", "c"]


@pytest.mark.parametrize("error", [NoRoom("full"), Stopped("stop"), MissingExtra("no ffmpeg"), OSError("disk")])
def test_what_no_other_video_could_be_made_with_ends_the_run_and_what_was_made_is_noted(error):
    work, begun = worked_off(a={"video_id": "a"}, b=error, c={"video_id": "c"})
    with pytest.raises(type(error)) as raised:
        work()
    assert begun == ["a", "b"] and raised.value.__notes__ == ["made before: a"]


def test_a_topic_that_a_person_asked_for_is_written_before_those_that_wait(root):
    waiting = put(slot="2026-07-03T20:00")
    put(slot="2026-07-04T00:00", angle="idea")
    asked = curating.curator(Context(datetime(2026, 7, 4, 13, 5, tzinfo=UTC)), topic="hash tables")["video_id"]
    result = writing.scriptwriter(Context(NOW))
    assert result["video_id"] == asked
    assert result["caught_up"][0] == waiting


def test_a_damaged_topic_is_told_and_stops_no_other_script(root):
    broken, good = put(slot="2026-07-03T20:00"), put(slot="2026-07-04T00:00")
    (files.folder_of(broken) / files.TOPIC).write_text('{"video_id":')
    result = writing.scriptwriter(Context())
    assert result["video_id"] == good
    [problem] = result["refused"]
    assert problem["video_id"] == broken and "topic.json: cannot be read" in problem["reason"]
    assert not files.has(broken, files.REFUSED), "it may be mended"


def test_where_nothing_is_to_be_written_it_is_said_why(root):
    curating.curator(Context())
    for one in files.videos():
        files.write(one, files.SCRIPT, {"sections": []})
    result = writing.scriptwriter(Context())
    assert (result["video_id"], result["refused"]) == (None, [])
    assert result["why"] == (
        "the day's 6 slots are handed out; `overnight tasks run curator --arg topic=...` makes one more"
    )


def test_where_each_side_of_each_document_was_refused_that_is_said_and_nothing_of_slots(root, known):
    for place, (name, angle) in enumerate((name, angle) for name in knowing.load().titles for angle in ANGLES):
        one = put(angle=angle, slot=f"2026-07-03T{place:02}:00", sources=[name])
        files.refuse(one, by="scriptwriter", reason="too little is known")
    result = writing.scriptwriter(Context())
    assert result["why"].startswith(
        "nothing is left to say at 2026-07-04T00:00: each side of each document was refused"
    )


# ---- Damaged files, and sides that a document has not ----


def test_a_damaged_topic_stops_neither_the_curator_nor_a_script(root):
    damaged = put("Hash tables", slot="2026-07-03T00:00")
    (files.folder_of(damaged) / files.TOPIC).write_text('{"video_id":')
    handed = curating.curator(Context())["video_ids"]
    assert handed
    assert writing.scriptwriter(Context())["video_id"] in handed


def test_a_missing_topic_is_told_from_a_side_that_its_new_document_has(root):
    (root / "knowledge" / "apples.md").write_text(
        "# Apples\n\nAn apple is a fruit.\n\n## How apples grow\n\nApples grow on trees in five months.\n"
    )
    entry = {
        "slot": "2026-07-04T00:00",
        "topic": "Apples",
        "angle": "code",
        "state": "needs sources",
        "reason": "asked",
    }
    handed = curating._hand_out(entry, knowing.load(), GUIDE)
    assert (handed["state"], handed["angle"]) == ("handed out", "idea")
    assert files.read(handed["video_id"], files.TOPIC)["angle"] == "idea"


# ---- Refusals ----


def test_topic_without_sources_is_refused_with_the_reason_and_the_next_is_written(root):
    bread = put("Sourdough bread", slot="2026-07-04T00:00")
    search = put(slot="2026-07-04T04:00")
    result = writing.scriptwriter(Context())
    assert result["video_id"] == search
    assert files.read(bread, files.REFUSED)["reason"] == "no document of the knowledge base is about 'Sourdough bread'"
    [marked] = [entry for entry in curating.calendar(knowing.load(), NOW) if entry["state"] == "refused"]
    assert (marked["topic"], marked["video_id"]) == ("Sourdough bread", bread)


def test_script_of_10_000_words_is_refused_by_whoever_meets_it(root):
    asked_for = put(format_guidelines={"minutes": 66.7})
    writing.scriptwriter(Context())
    assert "66.7 (10,005 words) is not from 2 to 4" in files.read(asked_for, files.REFUSED)["reason"]
    written = put(slot="2026-07-04T04:00")
    writing.scriptwriter(Context())
    script = files.read(written, files.SCRIPT)
    files.write(written, files.SCRIPT, {**script, "full_script": "word " * 10_000})
    assert designing.designer(Context())["video_id"] is None
    assert "the script has 10,000 words, 67 minutes" in files.read(written, files.REFUSED)["reason"]


def test_document_that_says_too_little_is_refused(root):
    (root / "knowledge" / "skip-lists.md").write_text(
        "# Skip lists\n\nA skip list is fast.\n\n## Cost\n\nIt is low. It is.\n"
    )
    video = put("Skip lists")
    writing.scriptwriter(Context())
    assert "the knowledge base says too little on 'Skip lists'" in files.read(video, files.REFUSED)["reason"]


# ---- Quality ----


def worse(script: dict, how: str) -> dict:
    if how == "length":
        return {**script, "sections": [{**part, "content": part["content"][:60]} for part in script["sections"]]}
    if how == "citations":
        return {**script, "citations": []}
    if how == "sentences":
        long = "The list is halved and " * 12 + "that is all."
        return {**script, "intro": f"{long} {long}"}
    if how == "repetition":
        return {**script, "summary": script["intro"] + script["sections"][0]["content"]}
    return {**script, "hook": script["intro"]}


@pytest.mark.parametrize("how", ["length", "citations", "sentences", "repetition", "form"])
def test_quality_falls_for_its_reason(scripts, how):
    score, issues, measures = script_quality.assess(scripts[0], [], GUIDE)
    less, more_issues, worse_measures = script_quality.assess(worse(scripts[0], how), [], GUIDE)
    assert less < score
    assert worse_measures[how] < measures[how]
    assert len(more_issues) > len(issues)


def test_quality_falls_with_keywords_that_are_not_said(scripts):
    score, _, _ = script_quality.assess(scripts[0], ["search"], GUIDE)
    less, issues, measures = script_quality.assess(scripts[0], ["search", "zebra"], GUIDE)
    assert less == pytest.approx(score - script_quality.WEIGHTS["keywords"] / 2, abs=0.01)
    assert "1 of 2 keywords are not said: zebra" in issues
    assert measures["keywords"] == 0.5


def test_weights_of_quality_make_10():
    assert sum(script_quality.WEIGHTS.values()) == 10


# ---- Narration ----


def test_what_cannot_be_shown_makes_no_cue():
    blocks = (
        documents.Block(kind=documents.Kind.CODE, text='print("]")', language="python"),
        documents.Block(kind=documents.Kind.CODE, text='print("a\\nb")', language="python"),
        documents.Block(kind=documents.Kind.DIAGRAM, text="no arrow"),
        documents.Block(kind=documents.Kind.TABLE, rows=(("a;b", ""), ("1", "2"))),
    )
    assert list(narrating.cues(blocks)) == ["[show table: a,b |   ; 1 | 2]"]


def test_long_program_ends_at_a_blank_line():
    program = "\n".join(["def f():", *["    x = 1"] * 10, "", "", "def g():", *["    y = 2"] * 10])
    [cue] = narrating.cues((documents.Block(kind=documents.Kind.CODE, text=program, language="python"),))
    assert "def f" in cue
    assert "def g" not in cue
    assert not cue.endswith("\\n ]")


# ---- The designer ----


def test_lesson_has_objectives_steps_pace_and_readability(root):
    video = put(angle="idea")
    writing.scriptwriter(Context())
    assert designing.designer(Context())["video_id"] == video
    lesson = files.read(video, files.LESSON)
    assert lesson["objectives"][0] == "explain the idea of binary search"
    assert lesson["steps"][0]["title"] == "How binary search works"
    assert lesson["examples"]
    assert 60 <= lesson["readability"]["flesch"] <= 100
    assert 120 <= lesson["pacing"]["seconds"] <= 240
    assert lesson["issues"] == []
    assert parse(lesson["narration"]).problems == ()
    assert designing.designer(Context())["video_id"] is None


@pytest.mark.parametrize(
    ("angle", "sections", "objectives"),
    [
        (
            "mistakes",
            ("How it works", "An example", "What it costs", "Mistakes to avoid"),
            ["explain the idea", "follow an example", "tell the cost", "avoid the usual mistakes"],
        ),
        (
            "choice",
            ("How it works", "An example", "What it costs", "Mistakes to avoid", "When to choose it"),
            ["explain the idea", "follow an example", "tell the cost", "choose between"],
        ),
    ],
)
def test_objectives_follow_the_parts_and_what_a_video_is_about_is_among_them(scripts, angle, sections, objectives):
    parts = [{"title": title, "content": "It is so.", "source": "none"} for title in sections]
    lesson = designing.lesson_of(topic_of(angle=angle), {**scripts[0], "sections": parts}, jargon.Glossary(), GUIDE)
    assert len(lesson["objectives"]) == len(objectives)
    assert all(said.startswith(begin) for said, begin in zip(lesson["objectives"], objectives, strict=True))


def test_word_that_a_script_does_not_explain_is_explained(known, scripts):
    glossary = jargon.glossary_of(known)
    script = next(one for one in scripts if one["title"] == "Binary search: when to choose what")
    said = script["full_script"].replace("A hash table answers", "With a hash table one answers")
    lesson = designing.lesson_of(topic_of(angle="choice"), {**script, "full_script": said}, glossary, GUIDE)
    assert [one["term"] for one in lesson["explained"]] == ["hash table"]
    assert "In case this is new to you: a hash table stores values under names" in lesson["narration"]
    assert lesson["issues"] == []
    bare = designing.lesson_of(topic_of(angle="choice"), {**script, "full_script": said}, jargon.Glossary(), GUIDE)
    assert bare["explained"] == []


def test_lesson_tells_what_is_hard_to_follow(scripts):
    hard = (
        "Notwithstanding extraordinarily sophisticated heterogeneous considerations, organisational idiosyncrasies " * 5
    )
    script = {**scripts[0], "full_script": f"[explanatory] {hard} prevail.\n\n[cheerful] Bye."}
    issues = designing.lesson_of(topic_of(), script, jargon.Glossary(), GUIDE)["issues"]
    assert [issue.split(" ")[0] for issue in issues] == ["0.3", "reading", "the", "nothing", "[cheerful]:"]


def test_every_lesson_that_ships_is_spoken_in_2_to_4_minutes(known, scripts):
    glossary = jargon.glossary_of(known)
    lessons = [designing.lesson_of(topic_of(), script, glossary, GUIDE) for script in scripts[::4]]
    assert [lesson["issues"] for lesson in lessons if lesson["issues"]] == []


# ---- The curator ----


def test_calendar_has_90_days_of_six_slots_each_with_its_reason(known, root):
    for path in (EXAMPLE / "knowledge").glob("*.md"):
        (root / "knowledge" / path.name).write_text(path.read_text())
    entries = curating.calendar(known, NOW)
    assert len(entries) == 540
    assert [entry["slot"] for entry in entries[:3]] == ["2026-07-04T00:00", "2026-07-04T04:00", "2026-07-04T08:00"]
    assert all(entry["reason"] and entry["angle"] in ANGLES for entry in entries)
    for place, entry in enumerate(entries):
        near = {other["document"] for other in entries[place + 1 : place + 1 + planning.APART]}
        assert entry["document"] not in near
        sides = {(other["document"], other["angle"]) for other in entries[place + 1 : place + 100]}
        assert (entry["document"], entry["angle"]) not in sides
    told = Counter((entry["document"], entry["angle"]) for entry in entries)
    assert len(told) == 168
    assert max(told.values()) - min(told.values()) <= 1


def test_curator_hands_out_the_topics_of_a_day_once(root):
    context = Context()
    handed = curating.curator(context)["video_ids"]
    assert len(handed) == 6
    assert context.counts["topics_handed_out"] == 6
    assert curating.curator(Context())["video_ids"] == []
    topic = files.read(handed[0], files.TOPIC)
    assert set(topic["sources"]) <= {"binary-search", "hash-tables"}
    assert topic["reason"].startswith("this side of it was never told")
    assert len(topic["research_keywords"]) == curating.KEYWORDS
    assert len(curating.curator(Context(NOW + timedelta(days=1)))["video_ids"]) == 6


def test_what_was_told_is_told_again_last(known):
    candidates = [planning.Candidate(topic=name, document=name, angle="idea") for name in "abc"]
    past = planning.Past()
    past.tell("a", "idea", planning.number_of("2026-07-01T00:00"))
    entries = planning.plan(candidates, ["2026-07-04T00:00", "2026-07-04T04:00", "2026-07-04T08:00"], past)
    assert [entry["document"] for entry in entries][-1] == "a"
    assert "told once, its last video is 3.3 days older" in entries[-1]["reason"]


def test_demand_and_recommendations_come_first():
    slots = planning.slots_from(NOW, 1)

    def first(**more) -> dict:
        plain = [planning.Candidate(topic=name, document=name, angle="idea", demand=0.1) for name in "abcd"]
        return planning.plan(
            [*plain, planning.Candidate(topic="x", document="x", angle="idea", **more)], slots, planning.Past()
        )[0]

    assert first(demand=0.9)["document"] == "x"
    recommended = first(demand=0.1, change=0.2, why="watched to the end twice as often")
    assert recommended["document"] == "x"
    assert "+0.20 as recommended: watched to the end twice as often" in recommended["reason"]
    assert first(demand=0.1, change=-0.2, why="left early")["document"] != "x"


def test_recommendations_of_the_committee_are_read(root):
    (root / ".overnight" / "data").mkdir(parents=True)
    advice = {
        "topics": [{"topic": "Hash tables", "change": -0.4, "reason": "left early"}],
        "angles": [{"angle": "mistakes", "change": 0.8, "reason": "clicked by 9 of 100"}],
    }
    (root / files.RECOMMENDATIONS).write_text(json.dumps(advice))
    first = curating.calendar(knowing.load(), NOW)[0]
    assert (first["document"], first["angle"]) == ("binary-search", "mistakes")
    assert "+0.15 as recommended: more of it, clicked by 9 of 100" in first["reason"]


def test_missing_topic_waits_in_the_calendar_and_is_marked_on_its_day(root):
    trend = {"title": "Skip lists", "engagement": {"views": 10, "likes": None, "comments": None, "shares": None}}
    found = gaps.missing(knowing.load(), [trend])
    assert found[0]["topic"] == "Skip lists"
    (root / ".overnight" / "data").mkdir(parents=True)
    (root / curating.GAPS).write_text(json.dumps({"missing": found[:1]}))
    curating.curator(Context())
    [waiting] = [entry for entry in curating.calendar(knowing.load(), NOW) if entry["state"] == "needs sources"]
    assert (waiting["topic"], waiting["slot"]) == ("Skip lists", "2026-07-05T20:00")
    assert "100 % of the attention of harvested trends" in waiting["reason"]

    tomorrow = NOW + timedelta(days=1)
    assert len(curating.curator(Context(tomorrow))["video_ids"]) == 6
    marked = next(entry for entry in curating.calendar(knowing.load(), tomorrow) if "refused" in entry)
    assert marked["refused"]["topic"] == "Skip lists"
    assert marked["refused"]["reason"].startswith("no document is about it; put one into knowledge/")
    assert marked["state"] == "handed out"


def test_missing_topic_is_told_as_soon_as_there_is_a_document(root):
    (root / ".overnight" / "data").mkdir(parents=True)
    (root / curating.GAPS).write_text(json.dumps({"missing": [{"topic": "Heaps", "priority": 0.9, "reason": "asked"}]}))
    curating.curator(Context())
    (root / "knowledge" / "heaps.md").write_text((EXAMPLE / "knowledge" / "heaps.md").read_text())
    handed = curating.curator(Context(NOW + timedelta(days=1)))["video_ids"]
    assert files.read(handed[-1], files.TOPIC)["sources"][0] == "heaps"


def test_gap_analysis_names_what_documents_mention_and_none_explains(known, root, capsys):
    found = {gap["topic"]: gap["reason"] for gap in gaps.missing(known, [])}
    assert "greedy-algorithms and union-find" in found["Kruskal's method"]
    assert not any(known.sources(topic) for topic in found)
    (root / "knowledge" / "dry.md").write_text(
        "# Dry\n\nKruskal's method joins towns.\n\n## Two\n\nKruskal's method is old.\n"
    )
    assert "Kruskal's method" in curating.gap_analysis(Context())["topics"]
    entries = json.loads((root / curating.CALENDAR).read_text())["entries"]
    assert any(entry["topic"] == "Kruskal's method" and entry["priority"] > 0 for entry in entries)


def test_topic_that_a_person_asks_for_is_made_now_or_refused_in_one_line(root):
    made = curating.curator(Context(), topic="binary search", angle="code")["video_id"]
    assert files.read(made, files.TOPIC)["sources"] == ["binary-search"]
    with pytest.raises(UserMistake, match="no document of the knowledge base is about 'sourdough bread'"):
        curating.curator(Context(), topic="sourdough bread")
    with pytest.raises(UserMistake, match="angle: 'gossip' is none of idea, "):
        curating.curator(Context(), topic="binary search", angle="gossip")


PLAIN = "# Apples\n\nApples are fruits that grow on trees. They are sweet.\n" + "".join(
    f"\n## {heading}\n\n"
    + "".join(f"Apples of kind {n} hang on a {word} tree in the garden of a farm. " for n in range(9))
    for heading, word in (("How apples grow", "tall"), ("An example", "small"), ("Where they are used", "wide"))
)
"""A document that has no program and no cost."""


def test_side_that_a_document_has_not_is_refused_with_those_that_it_has(root):
    (root / "knowledge" / "apples.md").write_text(PLAIN)
    with pytest.raises(
        UserMistake, match=r"^angle: 'Apples' has no section for 'code'; it has for idea, example, use$"
    ):
        curating.curator(Context(), topic="apples", angle="code")
    assert curating.curator(Context(), topic="apples", angle="use")["video_id"]


def test_document_without_known_sides_has_the_idea(root):
    (root / "knowledge" / "pears.md").write_text("# Pears\n\nPears are fruits.\n\n## Colours\n\nPears are green.\n")
    assert curating.curator(Context(), topic="pears")["video_id"]
    with pytest.raises(UserMistake, match="'Pears' has no section for 'cost'; it has for idea"):
        curating.curator(Context(), topic="pears", angle="cost")


@pytest.mark.parametrize(("angle", "announced"), [("code", False), ("use", True)])
def test_hook_announces_only_what_is_told(angle, announced):
    known = knowing.Knowledge({"apples": documents.markdown(PLAIN)})
    script = writing.script_of(topic_of("Apples", angle, sources=["apples"]), known, GUIDE, EXAMPLE)
    ends = HOOK_ENDS[ANGLES[angle].focus]
    assert script["hook"].endswith(tuple(ends)) is announced


# ---- The style guide ----


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("hook_words = 32 ", "hook_word = 32 ", "missing rules: hook_words; unknown rules: hook_word"),
        ("hook_words = 32 ", "hook_words = 3 ", "hook_words: 3 is not a whole number from 5 to 80"),
        ("sections = [3, 5]", "sections = [5, 3]", "sections: .* is not two whole numbers"),
        ('"{topic}: {angle}"', '"{views}"', "title_template: .* is not a text with {topic}"),
        ("{topic}: {angle}", "{topic} {", "title_template: .* is not a text with {topic}"),
        ("{topic}: {angle}", "{topic}}: {angle}", "title_template: .* is not a text with {topic}"),
        ("{topic}: {angle}", "{topic} {angle!q}", "title_template: .* is not a text with {topic}"),
        ("{topic}: {angle}", "{topic} {x.y}", "title_template: .* is not a text with {topic}"),
        ("{topic}: {angle}", "{topic} {}", "title_template: .* is not a text with {topic}"),
        ("{topic}: {angle}", "{topic:>999999999}", "title_template: .* is not a text with {topic}"),
        ("{topic}: {angle}", "{{topic}} {angle}", "title_template: .* is not a text with {topic}"),
        ("minutes = 3.0 ", "minutes = 9.0 ", "minutes: 9.0 is not from shortest_minutes"),
        ("```toml", "```yaml", "0 blocks that begin with"),
        ("minutes = 3.0 ", "minutes = = ", "its rules are not TOML"),
    ],
)
def test_style_guide_that_cannot_be_followed_is_one_clear_line(old, new, why):
    text = (EXAMPLE / style_guide.FILE).read_text()
    assert old in text
    with pytest.raises(UserMistake, match=why):
        style_guide.parse(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("words_per_minute = 150", "words_per_minute = 170"),
        ("\nminutes = 3.0", "\nminutes = 4.0"),
        ("sections = [3, 5]", "sections = [4, 5]"),
        ("summary_points = 3", "summary_points = 1"),
        ("pause_s = 0.7", "pause_s = 1.5"),
        ("{topic}: {angle}", "{topic} ({angle})"),
        ("work it through on paper", "write to us"),
        ("hook_words = 32", "hook_words = 23"),
    ],
)
def test_rules_of_the_style_guide_change_scripts(known, old, new):
    text = (EXAMPLE / style_guide.FILE).read_text()
    topic = topic_of("Hash tables", "use", sources=["hash-tables"])
    before = writing.script_of(topic, known, GUIDE, EXAMPLE)
    after = writing.script_of(topic, known, style_guide.parse(text.replace(old, new, 1)), EXAMPLE)
    assert before != after


# ---- Prose ----


def test_sentences_end_where_a_person_would_end_them():
    assert prose.sentences('It costs 3.5 steps, e.g. Two of them. "Really?" Yes! The rest') == [
        "It costs 3.5 steps, e.g. Two of them.",
        '"Really?"',
        "Yes!",
        "The rest",
    ]


def test_reading_ease_falls_with_long_words_and_sentences():
    easy = prose.readability("The cat sat. It saw a dog. The dog ran.")
    hard = prose.readability(
        "Notwithstanding considerable institutional heterogeneity, organisations deteriorate unavoidably."
    )
    assert easy.flesch > 90 > 20 > hard.flesch
    assert easy.words_per_sentence == pytest.approx(10 / 3, abs=0.05)


def test_forms_of_a_word_have_one_stem():
    for forms in (("table", "tables"), ("search", "searches", "searched", "searching"), ("entry", "entries")):
        assert len({prose.stem(word) for word in forms}) == 1, forms
    for one, other in pairwise(["queue", "stack", "heap", "trie"]):
        assert prose.stem(one) != prose.stem(other)


def test_too_short_knowledge_raises_not_measured(known):
    with pytest.raises(NotMeasured, match="angle: 'gossip'"):
        writing.script_of(topic_of(angle="gossip"), known, GUIDE, EXAMPLE)
