"""Fleets on other real records: songs, lyrics, films and prompts of several publishers, as files of a project."""

import shutil

import pytest

from overnight.app.project import Project

pytest.importorskip("sklearn")
pytestmark = pytest.mark.needs_data

FILES = (
    "538_classic_rock_song_list.csv",
    "538_hip_hop_lyrics.csv",
    "538_bechdel_movies.csv",
    "metaflow_movies.csv",
    "prompts_cc0.csv",
)
CONFIG = """
[project]
name = "media"

[sources.songs]
kind = "csv"
path = "538_classic_rock_song_list.csv"
fields = { title = '"Song Clean"', artist = '"ARTIST CLEAN"', year = '"Release Year"', plays = "PlayCount" }

[sources.lyrics]
kind = "csv"
path = "538_hip_hop_lyrics.csv"
fields = { title = "line", candidate = "candidate", theme = "theme", sentiment = "sentiment" }

[sources.bechdel]
kind = "csv"
path = "538_bechdel_movies.csv"
fields = { id = "imdb", title = "title", year = "year", budget = "budget", gross = "domgross", passes = "binary" }

[sources.movies]
kind = "csv"
path = "metaflow_movies.csv"
fields = { title = "movie_title", year = "title_year", genres = "genres", gross = "gross" }

[sources.prompts]
kind = "csv"
path = "prompts_cc0.csv"
fields = { title = "act", text = "prompt" }

[categories]
songs = { limit = 5000 }
lyrics = { limit = 5000 }
bechdel = { limit = 5000 }
movies = { limit = 5000 }
prompts = { limit = 5000 }

[agents.rotation]
class = "overnight.training.trainers.ranker:Ranker"
data = "songs"
target = "plays"
metric = "spearman"
inputs = ["artist", "year"]

[agents.mood]
class = "overnight.training.trainers.classifier:Classifier"
data = "lyrics"
target = "sentiment"
inputs = ["title", "candidate", "theme"]

[agents.earnings]
class = "overnight.training.trainers.ranker:Ranker"
data = "bechdel"
target = "gross"
scale = [0, 1e12]
metric = "spearman"
inputs = ["year", "budget", "passes"]

[agents.takings]
class = "overnight.training.trainers.ranker:Ranker"
data = "movies"
target = "gross"
metric = "spearman"
inputs = ["year", "genres"]

[agents.prompter]
class = "overnight.training.trainers.retriever:Retriever"
data = "prompts"
target = "text"
inputs = ["title"]
records = 200
"""


def test_a_fleet_learns_from_songs_lyrics_films_and_prompts(tmp_path, test_data):
    for name in FILES:
        shutil.copy(test_data / "media" / name, tmp_path / name)
    (tmp_path / "overnight.toml").write_text(CONFIG)
    with Project.open(tmp_path) as project:
        result = project.train()
    assert {name: agent.error for name, agent in result.agents.items() if agent.status != "trained"} == {}
    assert result.status == "success" and result.agents_trained == 5
    decisions = {name: agent.line["decision"] for name, agent in result.agents.items()}
    assert decisions["prompter"] == decisions["rotation"] == "ACCEPT"
    assert decisions["mood"] != "ACCEPT", "377 lines do not tell their mood"
    for agent in result.agents.values():
        assert agent.quality is None or 0 <= agent.quality <= 10
        assert agent.line["held_out"] >= 100
