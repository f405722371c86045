"""Recorded requests through two versions, in pairs."""

from overnight.serving.replay import Answer, Recorded, Side, answers, paired, replay

REQUESTS = [
    Recorded(request_id=f"r{number}", input=number, expected=number % 2, known=number < 4) for number in range(6)
]


def side(**more):
    return Side(
        **{
            "ok": True,
            "timed_out": False,
            "invalid": False,
            "ms": None,
            "score": None,
            "error": None,
            "hard": False,
            **more,
        }
    )


def test_each_request_goes_through_both_versions():
    def champion(value):
        return Answer(ok=True, output={"label": value % 2, "confidence": 0.5}, ms=2.0)

    def candidate(value):
        if value == 3:
            return Answer(ok=False, ms=9.0, timed_out=True, error="too slow")
        return Answer(ok=True, output={"label": 1, "confidence": 0.9}, ms=1.0, invalid=value == 5)

    pairs = replay(REQUESTS, champion, candidate)
    assert [pair.request_id for pair in pairs] == ["r0", "r1", "r2", "r3", "r4", "r5"]
    assert [pair.champion.score for pair in pairs] == [1, 1, 1, 1, None, None]
    assert [pair.candidate.score for pair in pairs] == [0, 1, 0, None, None, None]
    assert [pair.agree for pair in pairs] == [False, True, False, None, False, True]
    assert pairs[0].champion == side(ms=2.0, score=1.0)
    assert pairs[3].candidate == side(ok=False, timed_out=True, ms=9.0, error="too slow")
    assert pairs[5].candidate == side(invalid=True, ms=1.0)


def test_neither_version_is_always_asked_first():
    order = []

    def asks(name):
        return lambda value: order.append(name) or Answer(ok=True, output=value)

    replay(REQUESTS[:4], asks("old"), asks("new"))
    assert order == ["old", "new", "new", "old", "old", "new", "new", "old"]


def test_a_hard_failure_of_the_candidate_ends_it_and_another_scorer_is_heeded():
    def candidate(value):
        return Answer(ok=value < 2, output=value, hard=value >= 2, error=None if value < 2 else "nan")

    pairs = replay(REQUESTS, lambda value: Answer(ok=True, output=value), candidate, scored=lambda output, right: 0.25)
    assert [pair.candidate.error for pair in pairs] == [None, None, "nan"]
    assert [pair.candidate.hard for pair in pairs] == [False, False, True]
    assert [pair.champion.score for pair in pairs] == [0.25, 0.25, 0.25]
    assert pairs[2].candidate.score is None


def test_one_version_after_the_other_gives_the_same_pairs():
    def champion(value):
        return Answer(ok=value != 2, output=value)

    def candidate(value):
        return Answer(ok=True, output=value)

    one_by_one = paired(REQUESTS, answers(REQUESTS, champion), answers(REQUESTS, candidate))
    assert one_by_one == replay(REQUESTS, champion, candidate)


def test_what_was_not_asked_any_more_makes_no_pair():
    asked = []

    def candidate(value):
        asked.append(value)
        return Answer(ok=value < 3, output=value, hard=value == 3)

    theirs = [Answer(ok=True, output=request.input) for request in REQUESTS]
    stopped = answers(REQUESTS, candidate, stop=lambda: len(asked) == 2)
    assert [pair.request_id for pair in paired(REQUESTS, theirs, stopped)] == ["r0", "r1"]
    assert [answer.hard for answer in answers(REQUESTS, candidate)] == [False, False, False, True]
