"""The example trains two agents on 17,472 real films, end to end, as `overnight train` does."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from overnight.app.examples import new_project
from overnight.app.project import Project
from overnight.app.training import begin, stats
from overnight.registry import store

pytestmark = pytest.mark.skipif(
    not all(map(find_spec, ("sklearn", "skops", "bokeh_sampledata"))), reason="needs the extras ml and demo"
)


def test_two_agents_learn_from_real_films_and_beat_the_naive_baseline(tmp_path):
    new_project(tmp_path / "films", "music_video")
    with Project.open(tmp_path / "films") as project:
        with project.running():
            run_id, _ = begin(project)
            result = project.result(run_id, 110)
        health = stats(project)
        with project.database.read() as connection:
            versions = {name: store.serving(connection, name) for name in project.config.agents}
        scores = {name: json.loads(project.blobs.get(found.metrics["scores"])) for name, found in versions.items()}
    assert result["status"] == "success"
    critic, metacritic = result["agents"]["critic"], result["agents"]["metacritic"]
    assert (critic["data_count"], critic["held_out"]) == (13_749, 3_381)
    assert (metacritic["data_count"], metacritic["held_out"]) == (5_442, 1_369)
    for name, shown in result["agents"].items():
        assert (shown["decision"], shown["compared_with"], shown["version"]) == ("ACCEPT", "baseline", "v1.0.0")
        assert shown["baseline"]["name"] == "single best column: genre"
        errors = [-score for score in scores[name]["candidate"]["scores"]]
        assert shown["metric"] == pytest.approx(sum(errors) / len(errors))
        assert shown["metric"] < 0.85 * shown["baseline"]["mean_absolute_error"]
        assert shown["spearman"] > 0.5
    assert result["phases"]["validation"]["details"]["critic"]["set_aside"] == {"no target": 342}
    assert health["overall_quality"] == pytest.approx((critic["quality"] + metacritic["quality"]) / 2)
    assert "metacritic" in Path(result["report"]).read_text()
