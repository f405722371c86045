"""What documents of a channel may hold: marks, names and scripts of any kind, and pages that machines have written."""

import hashlib
import re
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channel_example import EXAMPLE

sys.path.append(str(EXAMPLE))

import documents
import inline_marks
import jargon
import knowledge as knowing
import planning


def text_of(page: str) -> list[str]:
    """Return the text of each block of an HTML page."""
    return [block.text for section in documents.html(page).sections for block in section.blocks]


# ---- Markdown ----


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("5 * 6 * 7 is 210", "5 * 6 * 7 is 210"),
        ("5*6*7 and x**2 + y**2", "5*6*7 and x**2 + y**2"),
        ("*a = 3 and *b = 4", "*a = 3 and *b = 4"),
        ("f(*args, **kwargs) and snake_case_name", "f(*args, **kwargs) and snake_case_name"),
        ("**it** and *this* and __that__ and _those_", "it and this and that and those"),
        ("***both***, *outer **inner** outer*, (*so*)", "both, outer inner outer, (so)"),
        ("`a * b * c`, ``one ` tick`` and ` alone", "a * b * c, one ` tick and ` alone"),
        (r"\*not stressed\* and 3 \* 4", "*not stressed* and 3 * 4"),
        ("[a *link*](http://x.org/a_(b)) and ![a picture](p.png)", "a link and a picture"),
        ("[![a picture](p.png)](http://x.org) in [brackets]", "a picture in [brackets]"),
    ],
)
def test_marks_are_taken_out_and_signs_that_mean_something_are_kept(written, said):
    assert inline_marks.plain(written) == said


@pytest.mark.parametrize("piece", ["*a ", "*a _b ", "[", "[a](", "_a* "])
def test_marks_that_belong_to_nothing_are_kept_however_many_they_are(piece):
    text = piece * 33_000
    assert inline_marks.plain(text) == " ".join(text.split())


@given(st.text("*_`!()5 ab", max_size=60))
def test_nothing_but_marks_is_taken_out(text):
    said = inline_marks.plain(text)
    assert re.sub(r"[*_`\s]", "", said) == re.sub(r"[*_`\s]", "", text)
    for sign in "*_`":
        assert said.count(sign) <= text.count(sign)


def test_heading_keeps_a_sharp_of_its_last_word():
    found = documents.markdown("# Programs in C#\n\n## Why ##\n\nText.\n")
    assert (found.title, [section.heading for section in found.sections]) == ("Programs in C#", ["Why"])


# ---- HTML ----


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("<p>First line<br>second line<br/>third</p>", ["First line second line third"]),
        ("<div>One</div>two<section>three</section>four", ["One", "two", "three", "four"]),
        ("<p>One<p>two<ul><li>a<li>b</ul>c", ["One", "two", "a", "b", "c"]),
        ("<dl><dt>Heap</dt><dd>A tree.</dd></dl>", ["Heap", "A tree."]),
        ("<pre>a<br>  b</pre>", ["a\n  b"]),
        ("<nav><p>menu</p><table><tr><td>x</td></tr></table></nav><p>Text</p>", ["Text"]),
    ],
)
def test_lines_and_blocks_of_a_page_are_kept_apart(page, said):
    assert text_of(page) == said


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        ("<table><tr><td>a<br>b</td><td><p>c</p><p>d</p></td></tr></table>", (("a b", "c d"),)),
        ("<table><tr><th>n<th>m<tr><td>1<td>2</table>", (("n", "m"), ("1", "2"))),
        ("<table><tr><td>1", (("1",),)),
    ],
)
def test_cells_of_a_table_are_kept_apart(table, rows):
    [section] = documents.html(f"<p>Before</p>{table}").sections
    assert [block.rows for block in section.blocks] == [(), rows]


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("<title>Page</title><header><a>menu</a><h1>Title</h1></header><p>Text</p>", "Title"),
        ("<head><title>The &amp;\n page</title></head><h2>Part</h2><p>Text</p>", "The & page"),
        ("<svg><title>icon</title></svg><p>Text</p>", ""),
    ],
)
def test_title_is_the_first_heading_or_else_that_of_the_head(page, title):
    found = documents.html(page)
    assert found.title == title
    assert [block.text for section in found.sections for block in section.blocks] == ["Text"]


def test_page_of_many_pieces_is_read_in_one_go():
    page = documents.html("<p>" + "one &amp; <b>two</b> " * 250_000)
    assert page.sections[0].blocks[0].text.count("one & two") == 250_000


@pytest.mark.parametrize("page", ["<a " * 20_000, "<!-- > " * 20_000])
def test_page_whose_tags_do_not_end_is_left_out_and_named(tmp_path, page):
    (tmp_path / "page.html").write_text(page)
    _, problems = knowing.read_folder(tmp_path)
    assert problems == ["page.html is no HTML page: 20,000 tags or comments begin and do not end"]


def test_document_that_says_more_than_a_shelf_is_left_out_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "MOST_SAID", 10)
    (tmp_path / "long.md").write_text("# Long\n\nEleven signs")
    (tmp_path / "short.md").write_text("# Short\n\nTen signs.")
    found, problems = knowing.read_folder(tmp_path)
    assert list(found) == ["short"]
    assert problems == ["long.md says more than 10 characters; cut it into several documents"]


# ---- Names and scripts ----


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (("мой.md", "твой.md", "наш.md", "日本.md"), ["document", "document-2", "document-3", "document-4"]),
        (("a b.md", "a-b.md", "a_b.md", "a-b-2.md", "a-b.html"), ["a-b", "a-b-2", "a-b-3", "a-b-4", "a-b-5"]),
    ],
)
def test_files_whose_names_make_the_same_id_are_all_kept_in_a_stable_order(tmp_path, names, ids):
    for name in names:
        (tmp_path / name).write_text(f"<p>It is about {name}.</p>" if name.endswith("html") else f"It is about {name}.")
    found, problems = knowing.read_folder(tmp_path)
    assert (sorted(found), problems) == (ids, [])
    titles = [name.partition(".")[0].replace("-", " ").replace("_", " ") for name in sorted(names)]
    assert [one.title for one in found.values()] == titles
    assert knowing.read_folder(tmp_path)[0] == found


def test_sections_whose_headings_make_the_same_id_are_all_kept():
    text = "# T\n\n" + "".join(f"## {heading}\n\nText.\n\n" for heading in ("Cost", "Cost 2", "Cost", "Цена", "Сумма"))
    found = knowing.Knowledge({"t": documents.markdown(text)})
    ids = [passage.passage_id for passage in found.passages]
    assert ids == ["t#cost", "t#cost-2", "t#cost-3", "t#lead", "t#lead-2"]
    assert all(found.passage(one) for one in ids)


def test_document_in_other_letters_is_left_out_and_named_and_its_words_in_an_english_one_are_words(tmp_path):
    (tmp_path / "дерево.md").write_text("# Дерево\n\nДерево хранит ключи. Оно растёт вниз.\n")  # noqa: RUF001
    (tmp_path / "trees.md").write_text("# Trees\n\nA tree is called Дерево in Russian. Über trees costs Ω(n).\n")
    found, problems = knowing.read_folder(tmp_path)
    assert problems == ["дерево.md is not written in Latin letters, and scripts are made of English documents only"]
    known = knowing.Knowledge(found)
    assert known.search("дерево")[0].passage.sentences == (
        "A tree is called Дерево in Russian.",
        "Über trees costs Ω(n).",
    )


def test_record_in_other_letters_is_left_out_and_named(tmp_path, monkeypatch):
    said = {"r1": "Дерево хранит ключи.", "r2": "A tree keeps keys."}
    rows = [{"id": one, "title": "T", "source_url": None, "metadata": {"text": text}} for one, text in said.items()]
    monkeypatch.setattr(knowing, "newest_records", lambda root: {"notes": rows})
    found, problems = knowing.read_records(tmp_path, ["notes-r2"])
    assert list(found) == ["notes-r2-2"]
    assert problems == ["notes r1 is not written in Latin letters, and scripts are made of English documents only"]


# ---- Many documents ----


class Counted(documents.Block):
    """A block that counts how often its text is read."""

    reads = 0

    def __getattribute__(self, name: str) -> object:
        Counted.reads += name == "text"
        return super().__getattribute__(name)


def test_the_glossary_reads_each_text_once_however_many_documents_there_are():
    told = {}
    for number in range(30):
        blocks = (Counted(kind=documents.Kind.TEXT, text=f"A thing{number} is one of the thing{number}s."),)
        section = documents.Section(heading="", blocks=blocks)
        told[f"d{number}"] = documents.Document(title=f"Thing{number}s", sections=(section,))
    Counted.reads = 0
    known = knowing.Knowledge(told)
    glossary = jargon.glossary_of(known)
    assert list(glossary) == [f"thing{number}" for number in range(30)]
    assert Counted.reads <= 2 * len(told)
    assert known.in_a_sentence("d3") == "thing3s"


def test_lots_are_drawn_among_equals_only(monkeypatch):
    drawn = []
    monkeypatch.setattr(planning, "sha256", lambda text: drawn.append(text) or hashlib.sha256(text))
    one = [planning.Candidate(topic=f"{n}", document=f"{n}", angle="idea", demand=n / 20) for n in range(20)]
    slots = planning.slots_from(datetime(2026, 7, 4, tzinfo=UTC), 1)
    entries = planning.plan(one, slots, planning.Past())
    assert [entry["document"] for entry in entries] == ["19", "18", "17", "16", "15", "14"]
    assert len(drawn) == len(slots)
