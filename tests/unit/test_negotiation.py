"""The benchmark of the memory policy asks what the daemon asks, and counts what goes wrong."""

import gzip
import json
import sys
from pathlib import Path

import pytest

from overnight.resources import forecast, ledger, negotiator, policy, sharing, sleeping

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import negotiation as module

    yield module
    for name in ("negotiation", "rig"):
        sys.modules.pop(name, None)


@pytest.fixture
def small(bench):
    """Two generated series of four hours."""
    return {name: bench.Track(bench.linear(minutes)) for name, minutes in bench.generated(2, 240, seed=7).items()}


def run(bench, track, chosen, *, gib=16, duration_s=7200, hold_s=10, every_second=False):
    simulation = bench.Simulation(track, chosen, size=gib * bench.GIB, duration_s=duration_s, hold_s=hold_s)
    return simulation.run(every_second)


def always(bench):
    class Always(bench.Policy):
        def ask(self, second, state):
            return max(0, bench.CAPACITY // state.size - len(state.running)), []

    return Always()


def never(bench):
    class Never(bench.Policy):
        def ask(self, second, state):
            return 0, []

    return Never()


def flat(bench, *pieces):
    return bench.Track(bench.linear([gib for gib, minutes in pieces for _ in range(minutes)]))


def test_the_functions_are_those_of_the_package(bench):
    assert bench.decide is sharing.decide is ledger.decide
    assert bench.Series is sleeping.Series is negotiator.Series
    assert negotiator.settle is ledger.settle, "and the daemon's thread asks it"
    assert bench.Series is forecast.Series
    assert bench.outlook_bytes is forecast.outlook_bytes
    assert bench.RULES is forecast.RULES
    assert bench.Situation is policy.Situation


def test_the_functions_are_what_is_asked(bench, small, monkeypatch):
    asked = []
    real = sharing.decide
    monkeypatch.setattr(bench, "decide", lambda situation: asked.append(situation) or real(situation))
    track = next(iter(small.values()))
    figures = run(bench, track, bench.Overnight(track, 10))
    assert figures.starts
    assert any(situation.running and situation.waiting for situation in asked)


@pytest.mark.no_cover
@pytest.mark.parametrize("form", ["linear", "steps"])
@pytest.mark.parametrize(("gib", "duration_s", "hold_s"), [(8, 1800, 10), (12, 7200, 30), (24, 7200, 10)])
def test_asking_only_when_the_answer_can_change_is_asking_every_second(bench, form, gib, duration_s, hold_s):
    minutes = next(iter(bench.generated(1, 150, seed=3).values()))
    track = bench.Track(bench.linear(minutes) if form == "linear" else bench.steps(minutes, "one"))
    chosen = [
        bench.Overnight(track, hold_s),
        bench.OneLook(track),
        bench.WorstCase(track),
        bench.Clairvoyant(track, hold_s),
    ]
    for one in chosen:
        given = {"gib": gib, "duration_s": duration_s, "hold_s": hold_s}
        assert run(bench, track, one, **given) == run(bench, track, one, every_second=True, **given)


def test_a_planted_jump_is_counted_once_and_costs_the_work_since_the_checkpoint(bench):
    # 16 GiB beside 24 GiB fit for 25 minutes, then the service has 40 GiB.
    track = bench.Track(bench.steps([24.0] * 25 + [40.0] * 10, "any"))
    [jump] = {int(second) for second in (track.used > 32 * bench.GIB).nonzero()[0][:1]}
    figures = run(bench, track, bench.OneLook(track))
    assert (figures.ooms, figures.starts) == (1, 1)
    assert figures.lost_s == jump % 600
    assert figures.trained_s == jump - jump % 600


def test_who_yields_is_credited_when_it_has_gone_and_killed_if_that_is_too_late(bench):
    track = flat(bench, (24.0, 20), (40.0, 10))

    class Late(bench.OneLook):
        def ask(self, second, state):
            starts, _ = super().ask(second, state)
            return starts, [job for job in state.staying if second == self.at_s]

        def again(self, second, state):
            return second + 1

    crossed = int(track.above(32 * bench.GIB)[0])
    for before_s, ooms, lost_s in ((10, 0, 0), (9, 1, (crossed - 9) % 600)):
        late = Late(track)
        late.at_s = crossed - before_s
        figures = run(bench, track, late)
        assert (figures.ooms, figures.lost_s) == (ooms, lost_s)
        assert figures.trained_s == late.at_s - lost_s


def test_who_never_starts_trains_nothing_and_who_always_starts_runs_out(bench, small):
    for track in small.values():
        assert run(bench, track, never(bench)).trained_s == 0
        assert run(bench, track, always(bench)).ooms > 0


@pytest.mark.no_cover
def test_the_clairvoyant_never_runs_out_and_nobody_who_does_not_trains_more(bench, small):
    for track in small.values():
        for gib in bench.SIZES_GIB:
            for duration_s in bench.DURATIONS_S:
                best = run(bench, track, bench.Clairvoyant(track, 10), gib=gib, duration_s=duration_s)
                assert best.ooms == best.lost_s == 0
                for other in (bench.Overnight(track, 10), bench.WorstCase(track), bench.OneLook(track)):
                    figures = run(bench, track, other, gib=gib, duration_s=duration_s)
                    if not figures.ooms:
                        assert figures.trained_s <= best.trained_s


def test_what_nobody_uses_all_can_have(bench):
    track = flat(bench, (0.0, 121))
    for chosen in (bench.Clairvoyant(track, 10), bench.OneLook(track), bench.Overnight(track, 10)):
        figures = run(bench, track, chosen, gib=48, duration_s=1800)
        # Nine jobs arrive in two hours; four end one after another, and one has a last second.
        assert (figures.trained_s, figures.ooms, figures.yields) == (7201, 0, 0)


def test_both_forms_agree_at_full_minutes_but_for_the_change_before(bench):
    minutes = [10.0, 20.0, 20.0, 15.0]
    straight, stepped = bench.linear(minutes), bench.steps(minutes, "x")
    assert straight[::60].tolist() == stepped[::60].tolist() == [round(gib * bench.GIB) for gib in minutes]
    assert set(stepped[:60].tolist()) == {10 * bench.GIB, 20 * bench.GIB}
    assert len(straight) == len(stepped) == 181


def test_a_file_is_read_and_split_in_the_order_of_its_names(bench, tmp_path, monkeypatch):
    path = tmp_path / "some.csv.gz"
    rows = "".join(f"{name},{minute},{name}.5\n" for name in (10, 2, 1) for minute in range(3))
    path.write_bytes(gzip.compress(f"series,minute,used_gib\n{rows}".encode()))
    assert bench.read(path)["10"] == [10.5] * 3
    source, fit = bench.chosen(str(path), "fit", False)
    assert (source, list(fit)) == ("some.csv.gz, the half that fitted", ["1", "2"])
    assert list(bench.chosen(str(path), "report", False)[1]) == ["10"]
    with pytest.raises(SystemExit, match="is not a file"):
        bench.chosen(str(tmp_path / "none"), "fit", False)
    monkeypatch.delenv("OVERNIGHT_TEST_DATA", raising=False)
    source, series = bench.chosen(None, "report", True)
    assert source.startswith("GENERATED")
    assert len(series) == 2


def test_the_figures_say_whether_the_aim_is_met(bench, small, monkeypatch, capsys):
    short = bench.generated(2, 60, seed=2)
    monkeypatch.setattr(bench, "chosen", lambda *given: ("some", short))
    monkeypatch.setattr(sys, "argv", ["negotiation.py", "--json"])
    status = bench.main()
    told = json.loads(capsys.readouterr().out)
    assert status == (1 if told["missed"] else 0)
    assert told["overnight"]["ooms"] == 0
    assert {"machine", "one_look", "worst_case", "clairvoyant", "yield_takes_30_s", "step_form"} <= set(told)
    assert set(told["overnight"]["by_size"]) == {f"{size} GiB" for size in bench.SIZES_GIB}
    assert bench.missed({"ooms": 1, "share_of_clairvoyant": 0.8}) == [
        "overnight.ooms",
        "overnight.share_of_clairvoyant",
    ]
    assert bench.missed({"ooms": 0, "share_of_clairvoyant": 0.9}) == []


def test_the_printed_form_and_the_curve(bench, monkeypatch, capsys):
    short = bench.generated(1, 60, seed=2)
    monkeypatch.setattr(bench, "chosen", lambda *given: ("some", short))
    monkeypatch.setattr(sys, "argv", ["negotiation.py", "--caution", "0.5", "1"])
    assert bench.main() == 0
    assert "caution 0.5" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["negotiation.py"])
    bench.main()
    printed = capsys.readouterr().out
    assert "step_form" in printed
    assert "aim: no OOM at >= 90%" in printed
    # The aim is one of the real series.
    monkeypatch.setattr(bench, "chosen", lambda *given: ("GENERATED", short))
    assert bench.main() == 0
    assert "aim" not in capsys.readouterr().out


@pytest.mark.no_cover
@pytest.mark.needs_data
def test_on_a_real_series_of_the_half_that_fitted_nothing_runs_out(bench, test_data):
    path = test_data / "traces" / "serving_gpu_memory_gib.csv.gz"
    name, minutes = next(iter(bench.read(path).items()))
    series = {name: bench.Track(bench.linear(minutes))}
    best = bench.simulate(series, lambda track: bench.Clairvoyant(track, 10), 10)
    ours = bench.simulate(series, lambda track: bench.Overnight(track, 10), 10)
    figures = bench.told(ours, best)
    assert figures["ooms"] == 0
    assert figures["share_of_clairvoyant"] > 0.85
    assert bench.told(bench.simulate(series, bench.OneLook, 10), best)["ooms"] > 100
