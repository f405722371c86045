"""When a generator is no longer waited for, and why."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overnight.campaigns.logs.counting import Counts, take
from overnight.campaigns.logs.patterns import Patterns
from overnight.campaigns.logs.watching import (
    FEW_KINDS,
    MANY_LINES,
    MOST_BEGINNINGS,
    Patience,
    Seen,
    Standing,
    watch,
)

PATIENCE = Patience(start_s=100, stall_s=1000, finish_s=60)
PATTERNS = Patterns()


class Generator:
    """What looks at a generator show, one after the other."""

    def __init__(self, total=190, expected=(), alive=True, counts=None):
        self.now_s, self.alive, self.code, self.behind = 0.0, alive, None, False
        self.counts = counts or Counts()
        self.watch = watch(PATIENCE, total, 0.0, expected)

    def prints(self, *lines, after_s=1.0):
        for line in lines:
            self.counts = take(self.counts, line, PATTERNS)
        self.now_s += after_s
        seen = Seen(
            now_s=self.now_s, counts=self.counts, lines=lines, alive=self.alive, exit_code=self.code, behind=self.behind
        )
        self.watch, finding = self.watch.look(seen)
        assert (finding.reason is None) == (finding.standing is not Standing.FAILED)
        assert "\n" not in (finding.reason or "")
        return finding

    def ends(self, code=0):
        self.alive, self.code = False, code
        return self

    def goes_on(self, *lines, after_s=1.0):
        assert self.prints(*lines, after_s=after_s).standing is Standing.GOES_ON
        return self


def test_one_that_gets_further_is_waited_for_however_slow_it_is():
    generator = Generator()
    for done in range(1, 190):
        generator.goes_on(f"Progress: {done}/190", after_s=999)
    generator.goes_on("Progress: 190/190", after_s=999)
    assert generator.ends().prints().standing is Standing.COMPLETE


def test_one_that_is_done_is_given_time_to_end_and_not_for_ever():
    generator = Generator().goes_on("Progress: 190/190").goes_on(after_s=59)
    assert generator.prints(after_s=1).standing is Standing.COMPLETE
    unknown = Generator(alive=None)
    assert unknown.prints("Progress: 190/190").standing is Standing.COMPLETE


def test_the_first_of_five_domains_is_not_the_end():
    names = ("a", "b", "c", "d", "e")
    for alive in (True, None):
        generator = Generator(alive=alive, expected=names)
        generator.goes_on("[a] 38/38", after_s=999).goes_on("[b] 38/38", after_s=999)
        finding = generator.ends().prints()
        assert finding.reason == (
            "the generator exited with code 0 before it was done, at 76 of 190 (c not begun, d not begun, e not begun)"
        )


def test_one_that_never_starts_is_given_up():
    generator = Generator(alive=None).goes_on(after_s=99)
    finding = generator.prints(after_s=1)
    assert finding.reason == "the generator never started: no process and nothing in its log for 100 s"
    for begun in (Generator(alive=True), Generator(alive=None).goes_on("hello")):
        begun.goes_on(after_s=500)


def test_one_that_stalls_is_given_up_whether_it_prints_or_not():
    silent = Generator().goes_on("Progress: 38/190").goes_on(after_s=999)
    assert silent.prints(after_s=1).reason == (
        "the generator stalled: no further sample in 1000 s, in which it printed no lines, at 38 of 190"
    )
    busy = Generator()
    for number in range(9):
        busy.goes_on(f"{'x' * number} thinks", after_s=100)
    finding = busy.prints("y", after_s=200)
    assert finding.reason == (
        "the generator stalled: no further sample in 1000 s, in which it printed 9 lines, its log tells no progress"
    )


def test_an_accepted_sample_gets_it_further_and_a_rejected_one_does_not():
    generator = Generator().goes_on("hello")
    for number in range(5):
        generator.goes_on(f"sample {number} accepted", after_s=999)
    for number in range(9):
        generator.goes_on(f"sample {number} rejected", after_s=100)
    assert "loops: no further sample in 1000 s, in which it printed 10 lines, of which 1 differ" in (
        generator.prints("sample 9 rejected", after_s=100).reason
    )


def test_a_count_that_goes_up_and_down_gets_it_no_further():
    generator = Generator().goes_on("hello").goes_on("accepted: 5")
    for number in (3, 5, 2, 4, 5):
        generator.goes_on(f"accepted: {number}", after_s=199)
    assert generator.prints("accepted: 5", after_s=5).standing is Standing.FAILED


def test_one_that_prints_the_same_again_and_again_loops():
    generator = Generator().goes_on("hello")
    lines = ["asking the model, try 1", "asking the model, try 2", "no answer"] * 100
    finding = generator.goes_on(*lines, after_s=500).prints(*lines, after_s=500)
    assert finding.reason == (
        "the generator loops: no further sample in 1000 s, in which it printed 600 lines, of which 2 differ in more "
        "than numbers, its log tells no progress"
    )


def test_one_that_fills_its_log_is_given_up_sooner():
    generator = Generator().goes_on("hello").goes_on(*["no answer"] * MANY_LINES, after_s=249)
    assert "loops" in generator.prints("no answer", after_s=1).reason
    varied = Generator().goes_on("hello")
    varied.goes_on(*["x" * number for number in range(FEW_KINDS + 2)], *["y"] * MANY_LINES, after_s=249)
    assert "stalled" in varied.goes_on("y", after_s=1).prints(after_s=750).reason


def test_progress_forgets_what_was_printed_before():
    generator = Generator().goes_on("hello").goes_on(*["no answer"] * MANY_LINES, after_s=200)
    generator.goes_on("Progress: 1/190", after_s=49).goes_on("no answer", after_s=900)
    assert "printed 1 line," in generator.prints(after_s=100).reason


def test_one_that_begins_anew_too_often_loops():
    generator = Generator(expected=("a",)).goes_on("hello")
    for _ in range(MOST_BEGINNINGS):
        generator.goes_on("[a] 1/38").goes_on("[a] 20/38").goes_on("[a] 38/38")
    finding = generator.goes_on("[a] 1/38").goes_on("[a] 38/38", "[b] 2/38").prints("[a] 1/38")
    assert finding.reason == "the generator loops: it began anew 4 times, at 3 of 190 (a 1 of 38, b 2 of 38)"


def test_one_that_has_begun_anew_may_take_as_long_as_before():
    generator = Generator().goes_on("Progress: 80/190")
    for done in range(1, 190):
        generator.goes_on(f"Progress: {done}/190", after_s=999)


def test_what_stood_in_the_log_before_is_no_repetition():
    runs = [f"Progress: {done}/190" for _ in range(6) for done in range(1, 190)]
    generator = Generator().goes_on(*runs, "Progress: 1/190")
    for done in range(2, 190):
        generator.goes_on(f"Progress: {done}/190", after_s=999)


@pytest.mark.parametrize(
    ("code", "how"), [(3, "exited with code 3"), (-9, "was killed by signal 9"), (-15, "was killed by signal 15")]
)
def test_an_end_with_an_error_is_a_failure_also_after_the_last_sample(code, how):
    generator = Generator().goes_on("Progress: 190/190")
    assert generator.ends(code).prints().reason == f"the generator {how}, at 190 of 190"


def test_a_process_that_is_gone_says_nothing_of_how_it_ended():
    generator = Generator().goes_on("[a] 38/100")
    finding = generator.ends(None).prints()
    assert finding.reason == "the generator ended before it was done, at 38 of 190 (a 38 of 100)"
    assert Generator().goes_on("Progress: 190/190").ends(None).prints().standing is Standing.COMPLETE


def test_nothing_is_said_before_the_log_was_read_to_its_end():
    generator = Generator().ends(1)
    generator.behind = True
    generator.goes_on("Progress: 190/190", after_s=500).goes_on("Progress: 1/190", after_s=999)
    generator.behind = False
    assert generator.prints().reason == "the generator exited with code 1, at 1 of 190"


def test_a_log_that_grows_faster_than_it_can_be_read_is_given_up():
    generator = Generator().goes_on("hello")
    generator.behind = True
    generator.goes_on("x").goes_on("x", after_s=999)
    assert generator.prints("x").reason == "its log grows faster than it can be read"


def test_a_reason_names_a_few_domains_and_how_many_more_there_are():
    generator = Generator(expected=tuple("abcdefg"))
    generator.goes_on(*(f"[{name}] 1/2" for name in "abcdefg"))
    assert (
        generator.ends()
        .prints()
        .reason.endswith("at 7 of 190 (a 1 of 2, b 1 of 2, c 1 of 2, d 1 of 2, e 1 of 2, and 2 more)")
    )


LINE = st.one_of(
    st.builds("[{}] {}/{}".format, st.sampled_from("ab"), st.integers(0, 40), st.sampled_from([3, 40])),
    st.builds("Progress: {}/{}".format, st.integers(0, 40), st.sampled_from([3, 40])),
    st.builds("sample {} {}".format, st.integers(0, 9), st.sampled_from(["accepted", "rejected"])),
    st.builds("accepted: {}".format, st.integers(0, 9)),
    st.sampled_from(["hello", "try 1", "try 2"]),
)
LOOK = st.tuples(
    st.lists(LINE, max_size=4), st.floats(1, 40), st.sampled_from([None, True]), st.booleans()
)  # fmt: skip


@settings(max_examples=200)
@given(looks=st.lists(LOOK, min_size=1, max_size=12), dies=st.booleans())
def test_no_wait_is_for_ever(looks, dies):
    """Whatever comes, again and again: each domain gets further by 3 or 40 samples, four times over."""
    total, patience = 3, Patience(start_s=20, stall_s=50, finish_s=10)
    state, counts, now_s = watch(patience, total, 0.0), Counts(), 0.0
    bound_s = patience.start_s + (2 * total + 2) * 3 * (MOST_BEGINNINGS + 2) * 3 * (patience.stall_s + 40)
    while True:
        for lines, step_s, alive, behind in looks:
            for line in lines:
                counts = take(counts, line, PATTERNS)
            now_s += step_s
            seen = Seen(now_s=now_s, counts=counts, lines=lines, behind=behind, alive=False if dies else alive)
            state, finding = state.look(seen)
            if finding.standing is Standing.COMPLETE:
                assert counts.complete(total)
            if finding.standing is not Standing.GOES_ON:
                return
            assert now_s < bound_s


def test_nothing_changes_a_watch_but_its_looks():
    before = watch(PATIENCE, 190, 0.0)
    kept = replace(before)
    before.look(Seen(now_s=5.0, counts=Counts(), lines=["x"]))
    assert before == kept
