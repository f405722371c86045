"""Feeds: every entry of RSS, Atom and RDF in any encoding, no entity, and what is wrong in one line."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.base.config import SourceSettings
from overnight.base.errors import PermanentError
from overnight.base.hiding import HIDDEN
from overnight.data.sources import feed
from overnight.data.sources.reading import Known
from web_server import answers, unless_known


def read(web, url, *, variables=None, known=None):
    source = SourceSettings(kind="feed", url=url, max_retries=0, per_second=1e6)
    return list(feed.pages("films", source, region=None, variables=variables or {}, web=web, known=known or {}))


RSS = """<?xml version="1.0"?><!-- made by hand --><?style x?>
<rss version="2.0"><channel><title>Films</title>
<item><guid>g1</guid><title>One &amp; all</title><link>/films/1</link><dc:creator xmlns:dc="http://purl.org/dc/elements/1.1/">Ann</dc:creator>
<pubDate>Mon, 01 Jun 2026 10:00:00 +0200</pubDate><description>First</description>
<category>short</category><category>new</category></item>
<item><link>http://h/2</link><title>Zwölf</title></item>
</channel></rss>"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom"><title>Films</title>
<entry><id>urn:1</id><title>One</title><link href="http://h/1"/><updated>2026-06-01T10:00:00.5Z</updated>
<author><name>Ann</name></author><author><name>Bob</name></author><category term="new"/>
<content type="html">&lt;b&gt;Long&lt;/b&gt;&lt;script&gt;bad()&lt;/script&gt;</content></entry></feed>"""
RDF = """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/">
<channel rdf:about="http://h/"><title>Films</title></channel>
<item rdf:about="http://h/1"><title>One</title><link>http://h/1</link></item></rdf:RDF>"""


def entries(content, **more):
    more = {"where": "sources.films", "max_rows": 1000, **more}
    return feed.entries(content.encode() if isinstance(content, str) else content, **more)


def test_the_entries_of_rss():
    first, second = entries(RSS, address="http://h/feed/rss?token=s3cret")
    assert first.where == "entry 1"
    assert first.row == {
        "id": "g1",
        "title": "One & all",
        "source_url": "http://h/films/1",
        "published_at": "2026-06-01T08:00:00+00:00",
        "summary": "First",
        "authors": ["Ann"],
        "tags": ["short", "new"],
    }
    assert second.row == {
        "id": "http://h/2",
        "title": "Zwölf",
        "source_url": "http://h/2",
        "published_at": None,
        "summary": None,
        "authors": [],
        "tags": [],
    }


def test_the_entries_of_atom_and_rdf():
    (entry,) = entries(ATOM)
    assert entry.row == {
        "id": "urn:1",
        "title": "One",
        "source_url": "http://h/1",
        "published_at": "2026-06-01T10:00:00+00:00",
        "summary": "<b>Long</b><script>bad()</script>",
        "authors": ["Ann", "Bob"],
        "tags": ["new"],
    }
    (entry,) = entries(RDF)
    assert (entry.row["id"], entry.row["title"], entry.row["source_url"]) == ("http://h/1", "One", "http://h/1")


def test_the_address_of_an_entry_takes_over_no_secret():
    first, _ = entries(RSS.replace("/films/1", "#top"), address="http://h/feed?token=s3cret")
    assert first.row["source_url"] == "http://h/feed#top"


def test_the_address_of_an_entry_takes_over_no_variable(server, web):
    server.routes["/hunter-2/feed"] = answers(RSS.replace("/films/1", "films/1"))
    (page,) = read(web, server.url("/${KEY}/feed"), variables={"KEY": "hunter-2"})
    assert page.found[0].row["source_url"] == server.url(f"/{HIDDEN}/films/1")


def test_an_entry_with_what_is_no_text_costs_only_itself():
    found = entries(RSS.replace("One &amp; all", "a&#0;").replace("</rss>", ""))
    assert [one.reason for one in found[:2]] == ["not text: it holds a NUL", None]


@pytest.mark.parametrize("number", ["xd800", "x110000", "9" * 30])
def test_a_number_that_is_no_character_is_one_line(number):
    with pytest.raises(PermanentError, match=r"^sources\.films: the feed is malformed: "):
        entries(RSS.replace("One &amp; all", f"a&#{number};"))


def test_a_feed_is_one_page_and_may_be_unchanged(server, web):
    server.routes["/a"] = unless_known(answers(RSS, ETag='"1"', Content_Type="text/plain"), etag='"1"')
    (page,) = read(web, server.url("/a"))
    assert [found.row["title"] for found in page.found] == ["One & all", "Zwölf"]
    assert page.found[0].row["source_url"] == server.url("/films/1")
    (again,) = read(web, server.url("/a"), known={page.key: Known(validators=page.validators)})
    assert (again.key, again.found, again.validators) == (page.key, None, page.validators)


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", ""),
        ("utf-8", "\ufeff"),
        ("iso-8859-1", ""),
        ("windows-1252", ""),
        ("utf-16-le", "\ufeff"),
        ("utf-16-be", "\ufeff"),
        ("utf-32-le", "\ufeff"),
        ("utf-32-be", "\ufeff"),
        ("utf-16-le", ""),
        ("utf-16-be", ""),
    ],
)
def test_feeds_are_read_in_the_encoding_that_they_name(encoding, mark):
    text = mark + RSS.replace('"1.0"?', f'"1.0" encoding="{encoding}"?')
    assert entries(text.encode(encoding))[1].row["title"] == "Zwölf"


def test_the_server_knows_the_encoding_better_than_the_feed():
    text = RSS.replace('"1.0"?', '"1.0" encoding="utf-8"?').encode("iso-8859-1")
    found = entries(text, content_type='application/xml; charset="ISO-8859-1"')
    assert [one.row["title"] for one in found] == ["One & all", "Zwölf"]


def test_bytes_that_are_no_text_are_told():
    *found, damage = entries(RSS.encode().replace("ö".encode(), b"\xff"))
    assert found[1].row["title"] == "Zw\N{REPLACEMENT CHARACTER}lf"
    assert damage.row is None
    assert "is not utf-8; read as" in damage.reason


BOMB = '<!DOCTYPE rss [<!ENTITY a "ha"><!ENTITY b "&a;&a;"> <!ENTITY f SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7", "cp037", "utf-8-sig"]
)
@pytest.mark.parametrize("declared", [False, True])
@pytest.mark.parametrize("bomb", [BOMB, BOMB.replace("DOCTYPE", "doctype"), '<!ENTITY a "ha">', "<!-- > --> x " + BOMB])
def test_no_parser_sees_a_document_that_declares_entities(monkeypatch, encoding, declared, bomb):
    monkeypatch.setattr("feedparser.parse", lambda *_, **__: pytest.fail("it was parsed"))
    start = f'<?xml version="1.0" encoding="{encoding}"?>' if declared else "\n"
    content = (start + bomb + RSS.partition("?>")[2].replace("One", "&b;&f;")).encode(encoding)
    with pytest.raises(PermanentError) as caught:
        entries(content)
    says = str(caught.value)
    assert "\n" not in says
    # In an encoding that is not read, or not recognised, it is not read either.
    assert any(words in says for words in ("declaration, which is not read", "is written in", "no element in it"))


def test_utf_7_cannot_hide_a_declaration():
    hidden = b'<?xml version="1.0" encoding="utf-7"?>+ADwAIQ-DOCTYPE rss>' + RSS.encode()
    with pytest.raises(PermanentError, match="written in 'utf-7', which is not read"):
        entries(hidden)


def test_a_page_about_documents_is_no_document_type():
    text = RSS.replace("First", "<![CDATA[<!DOCTYPE html><!ENTITY a 'b'> as text]]>")
    assert len(entries(text)) == 2


def test_of_a_malformed_feed_what_was_read_is_kept():
    *found, damage = entries(RSS.replace("<title>Zwölf</title></item>\n</channel></rss>", "<title>Zwö"))
    assert found[0].row["title"] == "One & all"
    assert damage.where == "the feed"
    assert damage.row is None
    assert damage.reason.startswith("malformed, so that entries may be missing: ")


@pytest.mark.parametrize(
    "content", ["", "text", "<html><body>hi</body></html>", "<rss", "<a>", "<!-- ", "{}", "\0" * 9]
)
def test_what_is_no_feed_is_an_error(content):
    with pytest.raises(PermanentError, match="this is no RSS or Atom feed"):
        entries(content)


def test_a_long_malformed_feed_is_not_mended_for_hours():
    with pytest.raises(PermanentError, match=r"the feed is malformed .* longer than the 500,000 bytes"):
        entries(RSS.replace("First", "<a " * 200_000))
    assert len(entries(RSS.replace("First", "&lt;b " * 90_000))) == 2


def test_a_feed_without_entries_is_an_error():
    with pytest.raises(PermanentError, match=r"^sources\.films: found no records: the feed has no entries$"):
        entries('<rss version="2.0"><channel><title>Films</title></channel></rss>')


@given(st.integers(0, len(RSS.encode())), st.binary(max_size=5))
def test_any_damage_gives_entries_or_one_line(at, damage):
    content = RSS.encode()
    try:
        found = entries(content[:at] + damage + content[at + len(damage) :])
    except PermanentError as error:
        assert "\n" not in str(error)
    else:
        assert all((one.row is None) != (one.reason is None) for one in found)


def test_dates_are_instants_in_utc():
    text = ATOM.replace("2026-06-01T10:00:00.5Z", "2026-06-01T23:30:00-05:00")
    at = datetime.fromisoformat(entries(text)[0].row["published_at"])
    assert at == datetime(2026, 6, 2, 4, 30, tzinfo=UTC)
    assert entries(ATOM.replace("2026-06-01T10:00:00.5Z", "soon"))[0].row["published_at"] is None
