"""Agents at work on one brief: those that only act, services by their keys, and what they leave."""

import json
import os
import signal

import psutil
import pytest

from daemons import wait_for
from overnight.app.project import Project
from overnight.base.errors import ConfigError, RunFailed

MODULE = '''
import json, time
from pathlib import Path

from overnight import ActContext, TransientError, UserMistake


class Painter:
    """Paints the brief's title; a second try goes on with what the first has left."""

    def act(self, item, ctx: ActContext):
        begun = ctx.folder / "begun"
        ctx.progress(1, 2, tries=1)
        if not begun.exists() and ctx.settings.get("slow"):
            begun.write_text("by the first try")
            time.sleep(60)
        (ctx.folder / "picture.txt").write_text(item["title"] * ctx.settings["times"])
        return {"path": str(ctx.folder / "picture.txt"), "gone_on": begun.exists(), "saw": sorted(item)}


class Service:
    def act(self, item, ctx):
        return {"letters_of_key": len(ctx.key), "told": ctx.key in repr(ctx), "saw": item["painter"]["path"]}


class Refuses:
    def act(self, item, ctx):
        raise UserMistake("the brief has no colour")


class Tells:
    def act(self, item, ctx):
        raise TransientError(f"401 for {ctx.key!r}") if item["title"] == "busy" else RuntimeError(f"no: {ctx.key}")


class Leaves:
    def __init__(self):
        raise RuntimeError("cannot be made")

    def act(self, item, ctx):
        pass


class Tidies:
    def act(self, item, ctx):
        ctx.folder.rmdir()
        return {"done": True}


class NoAct:
    pass
'''
AGENTS = """
[agents.painter]
class = "crafts:Painter"
learns = false
settings = { times = 2 }

[agents.service]
class = "crafts:Service"
key = "SERVICE_KEY"

[agents.other]
key = "OTHER_KEY"

[production.brief]
title = "Rain"
"""


@pytest.fixture
def make(tmp_path):
    def made(toml):
        (tmp_path / "crafts.py").write_text(MODULE)
        (tmp_path / "overnight.toml").write_text(toml + "\n[engine.retry]\nbase_s = 0.05\n")
        return tmp_path

    return made


def produced(folder, **options):
    with Project.open(folder, **options) as project, project.running():
        return project.result(project.submit("production"), 60)


def test_agents_that_only_act_work_on_what_those_before_them_have_made(make, monkeypatch):
    monkeypatch.setenv("SERVICE_KEY", "secret")
    folder = make(AGENTS)
    result = produced(folder)
    painter, service, other = (result["agents"][name] for name in ("painter", "service", "other"))
    assert painter["output"]["saw"] == ["title"] and service["output"]["saw"] == painter["output"]["path"]
    assert service["output"]["letters_of_key"] == 6 and service["output"]["told"] is False
    assert other == {"status": "not configured", "error": "OTHER_KEY is not set"} and result["status"] == "partial"
    kept = folder / result["folder"]
    assert (kept / "painter" / "picture.txt").read_text() == "RainRain"
    assert json.loads((kept / "production.json").read_text()) == result
    assert sorted(one.name for one in kept.iterdir()) == ["painter", "production.json"], "no empty folder is left"
    assert "secret" not in (folder / ".overnight" / "overnight.db").read_bytes().decode(errors="replace")


def test_a_service_whose_key_is_set_needs_a_class(make, monkeypatch):
    monkeypatch.setenv("OTHER_KEY", "secret")
    other = produced(make(AGENTS))["agents"]["other"]
    assert other == {"status": "not available", "error": "this service has no class that could call it"}


@pytest.mark.parametrize("title", ["busy", "Rain"])
def test_no_error_tells_the_key_of_a_service(make, monkeypatch, title):
    secret = "sk-top\\secret\r"
    monkeypatch.setenv("SERVICE_KEY", secret)
    toml = AGENTS.replace("crafts:Service", "crafts:Tells").replace('title = "Rain"', f'title = "{title}"')
    folder = make(toml)
    error = produced(folder)["agents"]["service"]["error"]
    assert "***" in error and "top" not in error
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "crafts.py":
            assert b"sk-top" not in path.read_bytes(), path


def test_one_that_is_disabled_does_not_act(make, monkeypatch):
    monkeypatch.setenv("SERVICE_KEY", "secret")
    folder = make(AGENTS.replace('key = "SERVICE_KEY"\n', 'key = "SERVICE_KEY"\nenabled = false\n'))
    assert "service" not in produced(folder)["agents"]
    named = (
        (folder / "overnight.toml")
        .read_text()
        .replace("[production.brief]", '[production]\norder = ["service"]\n[production.brief]')
    )
    (folder / "overnight.toml").write_text(named)
    assert produced(folder)["agents"]["service"]["status"] == "disabled"


def test_an_agent_may_remove_its_folder_and_a_brief_is_an_object(make):
    folder = make(AGENTS.replace("crafts:Painter", "crafts:Tidies"))
    with Project.open(folder) as project, project.running():
        assert project.result(project.submit("production"), 60)["agents"]["painter"]["output"] == {"done": True}
        with pytest.raises(RunFailed, match="brief: 'x' is no object"):
            project.result(project.submit("production", {"brief": "x"}), 60)


def test_one_that_is_killed_at_work_goes_on_with_what_it_has_left(make):
    folder = make(AGENTS.replace("times = 2", "times = 2, slow = true"))
    begun = folder / ".overnight" / "data" / "productions"
    with Project.open(folder) as project, project.running():
        run_id = project.submit("production")
        wait_for(lambda: list(begun.glob("*/painter/begun")))
        for child in psutil.Process().children(recursive=True):
            if "OVERNIGHT_CHILD" in child.environ():
                os.kill(child.pid, signal.SIGKILL)
        result = project.result(run_id, 60)
    assert result["agents"]["painter"]["output"]["gone_on"] is True


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Refuses", "the brief has no colour"),
        ("Leaves", "RuntimeError: cannot be made"),
        ("NoAct", "agents.painter.class: 'crafts:NoAct' has no method act(input, ctx)"),
        ("Missing", "agents.painter.class: 'crafts:Missing' cannot be imported"),
    ],
)
def test_one_that_cannot_act_is_a_line_and_stops_no_other(make, monkeypatch, name, says):
    monkeypatch.setenv("SERVICE_KEY", "secret")
    result = produced(make(AGENTS.replace("crafts:Painter", f"crafts:{name}")))
    assert result["agents"]["painter"]["status"] == "failed"
    assert result["agents"]["painter"]["error"].startswith(says)
    assert result["agents"]["service"]["error"] == "KeyError: 'painter'"


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("learns = false", 'agents.a.class: missing; name the "module:Class" that acts'),
        ('learns = false\nclass = "a:B"\ndata = "films"', "agents.a.data: 'films' would never be used"),
    ],
)
def test_a_wrong_table_of_one_that_only_acts_is_one_line(make, table, says):
    with pytest.raises(ConfigError) as refused, Project.open(make(f"[agents.a]\n{table}\n")):
        pass
    assert str(refused.value).startswith(says)
