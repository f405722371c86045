"""What lines of a generator's log tell, alone and together."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.base.errors import UserMistake
from overnight.campaigns.logs.counting import KEPT_SCORES, MOST_DOMAINS, Counts, Tally, take
from overnight.campaigns.logs.patterns import LONGEST_NAME, Patterns, Told

PATTERNS = Patterns()


def counted(*lines, patterns=PATTERNS, counts=None):
    counts = counts or Counts()
    for line in lines:
        counts = take(counts, line, patterns)
    return counts


def told(line, patterns=PATTERNS):
    """What a line tells, without what it says nothing of."""
    found = patterns.tell(line)
    return {} if found is None else {name: one for name, one in vars(found).items() if one != getattr(Told(), name)}


def test_each_sample_has_a_quality_or_one_that_is_not_known():
    counts = counted("Quality: 0.5", "[a] 3/4", "[b] 1/4")
    assert (counts.judged, counts.qualities) == (4, [0.5, None, None, None])
    assert counted("accepted: 3", "rejected: 2").qualities == [None] * 5
    assert counted("Quality: 0.5", "Quality: 0.7").qualities == [0.5, 0.7]
    assert (Counts().judged, Counts().qualities) == (0, [])
    many = Counts(scores=(0.5,) * KEPT_SCORES, scored=KEPT_SCORES + 2)
    assert many.qualities[-3:] == [0.5, None, None]


@pytest.mark.parametrize(
    ("line", "domain", "done", "total"),
    [
        ("Progress: 89/190", "", 89, 190),
        ("2025-12-21 06:50:15 [PilotQualityMonitor] INFO: Progress: 89/190 (46.8%)", "", 89, 190),
        ("[2025-12-21 06:50:15] progress = 12 / 38", "", 12, 38),
        ("Generated 1,200/34,500 samples", "", 1200, 34500),
        (" 47%|####\u258b     | 89/190 [00:10<00:11,  8.5it/s]", "", 89, 190),
        ("[python] 38/38", "python", 38, 38),
        ("06:50:15,123 INFO [machine learning] Progress: 12/38", "machine learning", 12, 38),
        ("domain sql: 12/38", "sql", 12, 38),
        ('{"domain": "sql", "progress": "12/38"}', "sql", 12, 38),
        ("Progress (sql): 3/4", "sql", 3, 4),
    ],
)
def test_progress_is_understood_as_many_programs_print_it(line, domain, done, total):
    expected = {"done": done, "total": total, **({"domain": domain} if domain else {})}
    assert told(line) == expected


@pytest.mark.parametrize(
    "line",
    [
        "", "Epoch 3/10", "loading 5/5", "[INFO] 12/38", "[06:50:15] 12/38", "21/12/2025 started", "Progress: 1.5/2.5",
        "progress: good", "Progress: 1/190.5", "see https://progress/12/38", "quality threshold 0.75",
        "acceptance test",
    ],
)  # fmt: skip
def test_what_only_looks_like_it_tells_nothing(line):
    assert told(line) == {}


@pytest.mark.parametrize(
    ("line", "score"),
    [
        ("Quality: 0.82", 0.82), ("quality=1", 1.0), ('"quality_score": .5,', 0.5), ("Quality: 8.2/10", 0.82),
        ("quality: 82 %", 0.82), ("Quality: 1e-2", 0.01), ("sample 17 (quality 0.8)", None),
    ],
)  # fmt: skip
def test_qualities_are_read_on_the_scale_that_the_line_names(line, score):
    assert told(line).get("score") == (None if score is None else pytest.approx(score))


@pytest.mark.parametrize("line", ["Quality: 8.2", "Quality: nan", "Quality: -0.1", "Quality: 3/0", "quality = 101%"])
def test_a_number_that_is_no_quality_makes_the_mean_unknown(line):
    counts = counted("Quality: 0.5", line, "Quality: 0.7")
    assert (counts.scores, counts.quality) == ((0.5, None, 0.7), None)
    assert counted("Quality: 0.5", "Quality: 0.7").quality == pytest.approx(0.6)
    assert Counts().quality is None


WORDS = [("accepted", "accepts"), ("rejected", "rejects")]


@pytest.mark.parametrize(("word", "event"), WORDS)
@pytest.mark.parametrize(
    "line",
    [
        "sample 17 {}", "Sample 17 {} (quality 0.83)", "sample abc-3 was {}", "{} sample 17", "INFO: {}", "\u2713 {}",
        "06:50:15,123 {} sample_17", "{}: sample 17", '{{"id": 3, "{}": true}}', "1 sample {}", "no. 17 {}",
        "nothing to do; sample 17 {}", "1766299815 {} candidate 3", "[do not track] sample 3 {}", "worker 3 {}",
    ],
)  # fmt: skip
def test_a_line_about_one_sample_counts_one(line, word, event):
    found = told(line.format(word))
    found.pop("score", None)
    assert found == {event: True}


@pytest.mark.parametrize(("word", "event"), WORDS)
@pytest.mark.parametrize(
    "line",
    [
        "no sample was {} yet", "No samples {} yet", "none {}", "nothing was {} so far", "sample 3 was not {}",
        "not yet {}", "sample 3 isn't {}", "zero samples were {}", "{}: none", "{}: false", '"{}": null', "{}? no",
        "waiting for a sample to be {}", "samples are {} from 0.5 on", "if {}, it is written to out.jsonl",
        "{} samples will be written to out.jsonl", "87% {}", "{} (87%)", "{} 87 %", "{}: 87%", "{} = 0.87",
        "the sample will be {}", "never {}", "without any sample {}",
    ],
)  # fmt: skip
def test_what_was_not_accepted_is_no_acceptance(line, word, event):
    assert told(line.format(word)) == {}


@pytest.mark.parametrize(("word", "event"), WORDS)
@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("0 {}", 0), ("45 {}", 45), ("{}: 45", 45), ("{}: 0", 0), ("{}=1,234", 1234), ("{}_count: 45", 45),
        ("num_{}=45", 45), ("{} so far: 45", 45), ("{} 45 of 52", 45), ("{} 45/52", 45), ("45 samples were {}", 45),
        ("2025-12-21 06:50:15 45 {}", 45), ('"{}": 45,', 45),
    ],
)  # fmt: skip
def test_how_many_so_far_is_told_from_one_more(line, count, word, event):
    assert told(line.format(word)) == {word: count}


def test_a_line_of_our_own_monitor_is_understood():
    line = (
        "2025-12-21 06:50:15 [PilotQualityMonitor] INFO: Progress: 89/190 (46.8%) | Quality: 0.821 | Acceptance: 87.00%"
    )
    assert told(line) == {"done": 89, "total": 190, "score": 0.821, "rate": pytest.approx(0.87)}


def test_several_domains_are_counted_apart():
    first = counted("[python] 38/38")
    assert (first.done, first.announced, first.complete(190)) == (38, 38, False)
    two = counted("[python] 38/38", "[sql] 3/38", "[python] accepted: 30", "[sql] accepted: 2", "[sql] 1 rejected")
    assert two.domains["python"] == Tally(done=38, total=38)
    assert (two.done, two.announced) == (41, 76)
    names = ("python", "sql", "regex", "text", "math")
    every = counted(*(f"[{name}] 38/38" for name in names))
    assert (every.done, every.complete(190, names)) == (190, True)
    assert not every.complete(190, (*names, "physics")), "it was expected and has not begun"
    assert not every.complete(191, names)
    assert not counted("[art] 0/1", counts=every).complete(190, names), "it was announced"


def test_more_of_one_domain_makes_up_for_nothing_of_another():
    counts = counted("[python] 60/38", "[sql] 16/38")
    assert (counts.done, counts.complete(76)) == (54, False)


def test_what_is_said_of_all_together_is_not_added_to_the_domains():
    counts = counted("[python] 38/38", "Progress: 38/190", "[sql] 2/38", "Progress: 40/190")
    assert (counts.done, counts.announced) == (40, 190)
    domains = counted("[python] 38/38", "Progress: 1/5")
    assert (domains.done, domains.complete(38)) == (38, False), "four of five are missing"


def test_accepted_and_rejected_of_domains_add_up_unless_their_sum_is_told():
    pattern = r"\[(?P<domain>\w+)\] (?P<count>\d+) kept"
    patterns = Patterns(accepted=pattern)
    counts = counted("[python] 30 kept", "[sql] 2 kept", "[sql] 3 kept", patterns=patterns)
    assert counts.accepted == 33
    assert counted("Accepted: 32", "[sql] 9 rejected", "sample 9 accepted", counts=counts).accepted == 32
    assert counts.rejected is None


def test_single_samples_add_up():
    counts = counted("sample 1 accepted", "sample 2 rejected: too short", "sample 3 accepted", "sample 4 accepted")
    assert (counts.accepted, counts.rejected, counts.acceptance_rate) == (3, 1, 0.75)


def test_a_rate_that_does_not_follow_from_counts_is_the_one_that_was_told_last():
    assert Counts().acceptance_rate is None
    assert counted("sample 1 accepted").acceptance_rate is None, "nobody has said how many were rejected"
    assert counted("Accepted: 0", "Rejected: 0").acceptance_rate is None
    assert counted("Acceptance: 87.00%", "acceptance rate = 0.9", "Acceptance: 870%").acceptance_rate == 0.9
    assert counted("Acceptance: 87%", "Accepted: 3", "Rejected: 1").acceptance_rate == 0.75


def test_a_line_that_comes_late_takes_nothing_back_and_one_that_begins_anew_does():
    late = counted("[a] 30/38", "[a] 24/38", "[a] 9/9", "Progress: 8/190", "Progress: 1/190")
    assert (late.domains["a"].done, late.domains[""].done, late.begun_anew) == (9, 8, 0)
    assert counted("Progress: 89/190", "Progress: 80/190").done == 89
    anew = counted("Progress: 89/190", "Progress: 1/190", "Progress: 2/190")
    assert (anew.done, anew.begun_anew) == (2, 1)
    small = counted("[a] 3/3", "[a] 1/3", "[b] 1/3")
    assert (small.done, small.begun_anew, small.complete(2)) == (2, 1, False)


def test_a_second_thing_that_is_counted_does_not_add_to_the_first():
    assert counted("Progress: 5/5", "Progress: 1/190").done == 1


def test_a_log_cannot_fill_the_memory():
    names = counted(*(f"[a{number}] 1/2" for number in range(MOST_DOMAINS + 5)))
    assert (len(names.domains), names.done) == (MOST_DOMAINS, MOST_DOMAINS)
    assert counted("[a1] 2/2", counts=names).done == MOST_DOMAINS + 1
    full = Counts(scores=(0.5,) * KEPT_SCORES, scored=KEPT_SCORES, score_sum=0.5 * KEPT_SCORES)
    more = counted("Quality: 1.0", counts=full)
    assert (len(more.scores), more.scored, more.quality) == (KEPT_SCORES, KEPT_SCORES + 1, pytest.approx(0.50005, 1e-6))
    long = told(f"[{'a' * (LONGEST_NAME + 1)}] 1/2")
    assert long == {}
    own = Patterns(progress=r"(?P<domain>a+) (?P<done>\w+) (?P<total>\w+)")
    assert told("a" * 300 + " 1 2", own)["domain"] == "a" * LONGEST_NAME
    assert told("a one 2", own) == told("a 1 " + "2" * 16, own) == {}


def test_counts_can_be_stored():
    counts = counted("[a] 3/4", "Accepted: 3", "sample 9 rejected", "Quality: 0.5", "Quality: 7", "Acceptance: 75%")
    again = Counts.from_dict(json.loads(json.dumps(counts.to_dict(), allow_nan=False)))
    assert again.to_dict() == counts.to_dict()
    assert (again.done, again.accepted, again.rejected, again.quality) == (3, 3, 1, None)
    plain = counted("Quality: 0.5", "Quality: 0.7")
    assert Counts.from_dict(json.loads(json.dumps(plain.to_dict()))) == plain


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        ({"progress": "(?P<done>"}, r"patterns\.progress: '\(\?P<done>' is no pattern: "),
        ({"progress": r"(?P<done>\d+)"}, r"patterns\.progress: .* has no group \(\?P<total>\.\.\.\)"),
        ({"quality": r"quality (\d+)"}, r"patterns\.quality: .* has no group \(\?P<score>"),
        ({"acceptance": "x"}, r"patterns\.acceptance: .* has no group \(\?P<rate>"),
        ({"accepted": r"ok (?P<n>\d+)"}, r"patterns\.accepted: .* has a group 'n'; known are count, domain"),
        ({"rejected": [r"bad", ".*"]}, r"patterns\.rejected: '\.\*' is found in every line"),
    ],
)
def test_a_pattern_that_cannot_work_is_refused_and_its_setting_named(patterns, message):
    with pytest.raises(UserMistake, match=message) as caught:
        Patterns(**patterns)
    assert "\n" not in str(caught.value)


def test_other_patterns_can_be_given_and_what_is_denied_is_still_no_acceptance():
    patterns = Patterns(
        progress=r"(?P<domain>\w+) has (?P<done>\d+) of (?P<total>\d+)",
        quality=[r"score (?P<score>[\d.]+)", r"points (?P<score>\d+) of (?P<of>\d+)"],
        accepted=".*accepted.*",
        rejected=(r"bad( (?P<count>\d+))?",),
        acceptance=(),
    )
    assert told("sql has 3 of 4, score 0.5", patterns) == {"domain": "sql", "done": 3, "total": 4, "score": 0.5}
    assert told("points 3 of 4, bad 7", patterns) == {"score": 0.75, "rejected": 7}
    assert told("Progress: 3/4, Acceptance: 87%", patterns) == {}
    assert told("no sample was accepted yet", patterns) == {}
    assert told("sample 3 was accepted, no duplicates", patterns) == {"accepts": True}
    assert told("bad luck", patterns) == {"rejects": True}
    assert told("score y", Patterns(quality="score (?P<score>x)?")) == {}
    assert counted("score x", patterns=Patterns(quality="score (?P<score>x)")).scores == (None,)


REPEATED = [
    "[", "[a", "progress ", "1", "accepted ", "no ", "quality", " ", "12,", "111,", "1 new ", "domain ", "[aaa]", "%|",
    "1%|", "accepted samples ", "_accepted_count", "domain a -", "1 were ", "accepted, not ", "1 \t",
]  # fmt: skip
BEFORE_BLANKS = ["[a]", "domain", "progress", "1/", "1%|", "quality:", "acceptance", "accepted", "1", "1 new", "to"]


@pytest.mark.parametrize(
    ("word", "text"), [*(("", text) for text in REPEATED), *((word, " ") for word in BEFORE_BLANKS)]
)
def test_no_line_takes_long(word, text):
    line = word + (text * 65_536)[:65_000] + " / quality acceptance rejected accepted"
    begun = time.process_time()
    PATTERNS.tell(line)
    assert time.process_time() - begun < 2


LINES = st.lists(
    st.sampled_from(
        ["[a] 1/2", "[a] 2/2", "[b] 1/3", "[b] 3/3", "Progress: 1/5", "Progress: 5/5", "Accepted: 3",
         "sample 1 accepted", "no sample was accepted yet", "Rejected: 2", "Quality: 0.25", "Acceptance: 50%", "hello"]
    ),
    max_size=20,
)  # fmt: skip


@given(LINES)
def test_no_figure_comes_from_nothing(lines):
    counts = counted(*lines)
    assert (counts.done is None) == (not any("/" in line for line in lines))
    assert (counts.accepted is None) == (not {"Accepted: 3", "sample 1 accepted"} & set(lines))
    assert (counts.rejected is None) == ("Rejected: 2" not in lines)
    assert counts.scored == lines.count("Quality: 0.25")
    assert counts.rate in (None, 0.5)
    assert counts.acceptance_rate is None or 0 <= counts.acceptance_rate <= 1
    assert not counts.complete(5) or {"[a] 2/2", "[b] 3/3"} <= set(lines) or "Progress: 5/5" in lines
