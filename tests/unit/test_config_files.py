"""A project's settings come from files, variables and flags; mistakes are answered in one line that helps."""

from pathlib import Path

import pytest

from overnight.app import times
from overnight.app.project import Project
from overnight.base.config import Config
from overnight.base.errors import ConfigError, NotAProject
from overnight.base.settings import environment, find_project, load_config

FILMS = """
[project]
name = "films"

[tasks.nightly]
action = "tasks:nightly"
schedule = "0 2 * * *"
after = ["harvest"]
needs = { cpus = 1.5, locks = ["gpu"] }
args = { limit = 3, since = 2026-01-01 }

[tasks.harvest]
action = ["curl", "localhost"]
timeout_s = 20

[sources.films]
kind = "sql"
path = "films.db"
query = "SELECT 1"

[agents.critic]
class = "films:Critic"
data = "films"
"""


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in ("ENGINE__MAX_CONCURRENT", "ENGINE__DATABASE", "PROJECT__NAME"):
        monkeypatch.delenv(f"OVERNIGHT_{name}", raising=False)


@pytest.fixture
def write(tmp_path: Path):
    def put(text: str, name: str = "overnight.toml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return tmp_path

    return put


def mistake(folder: Path, **overrides: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(folder, {key.replace("__", "."): value for key, value in overrides.items()})
    assert "\n" not in str(caught.value)
    return str(caught.value)


def origin(config: Config, key: str) -> tuple[object, str]:
    return next((setting.value, setting.origin) for setting in config.origins() if setting.key == key)


# -- files


def test_an_empty_file_gives_the_defaults(write):
    config = load_config(write(""))
    assert (config.project.timezone, config.engine.max_concurrent, config.engine.grace_s) == ("UTC", 3, 300)
    assert (config.engine.retry.base_s, config.engine.retry.factor, config.engine.retry.cap_s) == (60, 2, 3600)
    assert (config.engine.retry.jitter, config.gate.alpha) == (0, 0.05)
    assert not config.tasks
    assert {setting.origin for setting in config.origins()} == {"default"}


def test_every_kind_of_table_is_read(write):
    config = load_config(write(FILMS))
    nightly = config.tasks["nightly"]
    assert (nightly.after, nightly.needs.cpus, nightly.needs.locks) == (("harvest",), 1.5, ("gpu",))
    assert nightly.args == {"limit": 3, "since": "2026-01-01"}
    assert (nightly.priority, nightly.max_retries, nightly.timeout_s, nightly.enabled) == ("NORMAL", 3, None, True)
    assert config.tasks["harvest"].action == ("curl", "localhost")
    assert config.sources["films"].query == "SELECT 1"
    assert config.agents["critic"].class_ == "films:Critic"


def test_included_files_add_to_the_first(write):
    write('include = ["more/tasks.toml"]\n[project]\nname = "films"')
    write('include = ["deep.toml"]\n[tasks.a]\naction = "m:a"', "more/tasks.toml")
    config = load_config(write("[engine]\nmax_concurrent = 7", "more/deep.toml"))
    assert config.engine.max_concurrent == 7
    assert origin(config, "tasks.a.action") == ("m:a", "more/tasks.toml")
    assert origin(config, "engine.max_concurrent") == (7, "more/deep.toml")


def test_a_key_defined_twice_names_both_files(write):
    write('include = ["b.toml"]\n[engine]\nmax_concurrent = 1')
    message = mistake(write("[engine]\nmax_concurrent = 1", "b.toml"))
    assert message == "engine.max_concurrent: defined twice, in overnight.toml and in b.toml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('include = ["../x.toml"]', "overnight.toml: include: '../x.toml' is outside the project folder"),
        ('include = ["overnight.toml"]', "overnight.toml: included twice"),
        ('include = ["absent.toml"]', "absent.toml: cannot be read: No such file or directory"),
        ('include = "b.toml"', "overnight.toml: include: 'b.toml' is not a list of files"),
        ("[engine", "overnight.toml: not TOML: "),
    ],
)
def test_a_file_that_cannot_be_used_is_named(write, text, message):
    assert mistake(write(text)).startswith(message)


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "overnight.toml").write_bytes(b"\xff\xfe")
    assert mistake(tmp_path).startswith("overnight.toml: not TOML: ")


def test_a_link_out_of_the_project_is_not_followed(write, tmp_path):
    folder = write('include = ["link.toml"]', "project/overnight.toml") / "project"
    write("", "outside.toml")
    (folder / "link.toml").symlink_to(tmp_path / "outside.toml")
    assert "is outside the project folder" in mistake(folder)


# -- unknown keys and wrong values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[tasks.n]\naction = "m:f"\ndependencies = ["a"]', "tasks.n.dependencies: unknown key; did you mean after?"),
        (
            '[tasks.n]\naction = "m:f"\ntimeout_seconds = 5',
            "tasks.n.timeout_seconds: unknown key; did you mean timeout_s?",
        ),
        ('[tasks.n]\naction = "m:f"\nretries = 5', "tasks.n.retries: unknown key; did you mean max_retries?"),
        ('[tasks.n]\naction = "m:f"\npriorty = "LOW"', "tasks.n.priorty: unknown key; did you mean priority?"),
        ('[tasks.n]\ntask_id = "n"', "tasks.n.task_id: unknown key; a task's id is its table's name, [tasks.NAME]"),
        ("[engine]\nworkers = 5", "engine.workers: unknown key; did you mean max_concurrent?"),
        ("[engine.retry]\nbase_seconds = 5", "engine.retry.base_seconds: unknown key; did you mean base_s?"),
        ("[enigne]\nmax_concurrent = 5", "enigne: unknown key; did you mean engine?"),
        ("[gate]\nzzz = 5", "gate.zzz: unknown key; known are alpha"),
        ('[tasks.n]\naction = "m:f"\nneeds = { gpuz = 1 }', "tasks.n.needs.gpuz: unknown key; did you mean gpus?"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest(write, text, message):
    assert mistake(write(text)).startswith(f"overnight.toml: {message}")


def test_a_foreign_priority_is_answered_with_ours(write):
    text = '[tasks.nightly]\naction = "m:f"\npriority = "MEDIUM"'
    assert mistake(write(text)) == (
        "overnight.toml: tasks.nightly.priority: 'MEDIUM' is not a priority; "
        "did you mean NORMAL? (CRITICAL, HIGH, NORMAL, LOW)"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[engine]\nmax_concurrent = "5"', "engine.max_concurrent: '5' is not a whole number"),
        ("[engine]\nmax_concurrent = true", "engine.max_concurrent: True is not a whole number"),
        ("[engine]\nmax_concurrent = 0", "engine.max_concurrent: 0 is below 1"),
        ("[engine]\ngrace_s = nan", "engine.grace_s: nan is not a number"),
        ("[engine.retry]\nfactor = 0.5", "engine.retry.factor: 0.5 is below 1"),
        ("[engine.retry]\njitter = 1.0", "engine.retry.jitter: 1.0 must be less than 1"),
        ("[gate]\nalpha = 0.0", "gate.alpha: 0.0 must be more than 0"),
        ("[project]\nname = 3", "project.name: 3 is not text"),
        ("project = 3", "project: 3 is not a table ([project])"),
        ("[tasks]\nnightly = 3", "tasks.nightly: 3 is not a table ([tasks.nightly])"),
        ('[tasks.n]\naction = "m:f"\nafter = "a"', "tasks.n.after: 'a' is not a list of text"),
        ('[tasks.n]\naction = "m:f"\nafter = ["a", 3]', "tasks.n.after: ['a', 3] is not a list of text"),
        ('[tasks.n]\naction = "m:f"\nenabled = "yes"', "tasks.n.enabled: 'yes' is not true or false"),
        ('[tasks.n]\naction = "m:f"\nargs = 3', "tasks.n.args: 3 is not a table"),
        (
            '[tasks.n]\naction = "m:f"\nexecutor = "shell"',
            "tasks.n.executor: 'shell' is not an executor; did you mean command?",
        ),
        ("[tasks.n]\naction = 3", "tasks.n.action: 3 is not text or a list of text"),
        ('[tasks.n]\nschedule = "0 2 * * *"', "tasks.n: action is missing"),
        ("[tasks.n]", "tasks.n: the table is empty"),
        ('[tasks."a b"]\naction = "m:f"', "tasks: 'a b' is not a name"),
        ('[agents.a]\nclass = "c:C"\nscale = [0]', "agents.a.scale: [0] is not a list of 2 numbers"),
        ('[agents.a]\nclass = "c:C"\nscale = [0, 1, 2]', "agents.a.scale: [0, 1, 2] is not a list of 2 numbers"),
        ('[sources.s]\nkind = "sql"\nper_second = 0', "sources.s.per_second: 0 must be more than 0"),
        ("[categories.c]\nthreshold = 11", "categories.c.threshold: 11 is above 10"),
        ('[sources.s]\nkind = "xls"\npath = "p"', "sources.s.kind: 'xls' is not a kind of source"),
        ("[agents.a]\nmemory_gb = 0", "agents.a.memory_gb: 0 must be more than 0"),
    ],
)
def test_a_wrong_value_is_answered_with_what_is_allowed(write, text, message):
    assert mistake(write(text)).startswith(f"overnight.toml: {message}")


def test_a_secret_is_not_repeated_in_a_complaint(write):
    message = mistake(write('[engine]\nmax_concurrent = "postgresql://me:hunter2@host/db"'))
    assert "hunter2" not in message
    assert "max_concurrent" in message


# -- variables and flags


def test_flags_win_over_variables_and_variables_over_files(write, monkeypatch):
    folder = write("[engine]\nmax_concurrent = 2")
    assert origin(load_config(folder), "engine.max_concurrent") == (2, "overnight.toml")
    monkeypatch.setenv("OVERNIGHT_ENGINE__MAX_CONCURRENT", "5")
    assert origin(load_config(folder), "engine.max_concurrent") == (5, "OVERNIGHT_ENGINE__MAX_CONCURRENT")
    config = load_config(folder, {"engine.max_concurrent": 9})
    assert (config.engine.max_concurrent, *origin(config, "engine.max_concurrent")) == (9, 9, "flag")


@pytest.mark.parametrize(
    ("name", "text", "read"),
    [
        ("PROJECT__NAME", "123", lambda c: c.project.name == "123"),
        ("PROJECT__NAME", "[x]", lambda c: c.project.name == "[x]"),
        ("ENGINE__RETRY__BASE_S", "1.5", lambda c: c.engine.retry.base_s == 1.5),
        ("TASKS__NIGHTLY__ENABLED", "false", lambda c: c.tasks["Nightly"].enabled is False),
        ("TASKS__NIGHTLY__AFTER", '["a", "b"]', lambda c: c.tasks["Nightly"].after == ("a", "b")),
        ("TASKS__NIGHTLY__ACTION", "m:g", lambda c: c.tasks["Nightly"].action == "m:g"),
        ("TASKS__NIGHTLY__ACTION", '["ls"]', lambda c: c.tasks["Nightly"].action == ("ls",)),
        ("TASKS__NIGHTLY__ARGS", '{"n": 1}', lambda c: c.tasks["Nightly"].args == {"n": 1}),
        ("TASKS__NIGHTLY__NEEDS__CPUS", "2", lambda c: c.tasks["Nightly"].needs.cpus == 2),
        ("TASKS__NIGHTLY__PRIORITY", "LOW", lambda c: c.tasks["Nightly"].priority == "LOW"),
    ],
)
def test_a_variable_sets_a_nested_key(write, monkeypatch, name, text, read):
    monkeypatch.setenv(f"OVERNIGHT_{name}", text)
    assert read(load_config(write('[tasks.Nightly]\naction = "m:f"')))


def test_a_variable_finds_a_name_with_dashes_and_a_flag_one_in_another_case(write, monkeypatch):
    monkeypatch.setenv("OVERNIGHT_TASKS__NIGHT_RUN__MAX_RETRIES", "1")
    config = load_config(write('[tasks.night-run]\naction = "m:f"'), {"tasks.NIGHT-RUN.timeout_s": "5"})
    assert list(config.tasks) == ["night-run"]
    assert (config.tasks["night-run"].max_retries, config.tasks["night-run"].timeout_s) == (1, 5)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("ENGINE__MAX_CONCURENT", "5", "engine.max_concurent: unknown key; did you mean max_concurrent?"),
        ("ENGIN__MAX_CONCURRENT", "5", "engin: unknown key; did you mean engine?"),
        ("ENGINE__MAX_CONCURRENT", "many", "engine.max_concurrent: 'many' is not a whole number"),
        ("ENGINE__RETRY", "{}", "engine.retry: is a table; name a key below it"),
        ("GATE__ALPHA__X", "1", "gate.alpha: has no key 'x' below it"),
        ("TASKS__A B__AFTER", "[]", "tasks: 'a b' is not a name"),
        ("ENGINE_MAX_CONCURRENT", "5", "not a setting; did you mean OVERNIGHT_ENGINE__MAX_CONCURRENT?"),
    ],
)
def test_a_wrong_variable_is_named(write, monkeypatch, name, text, message):
    monkeypatch.setenv(f"OVERNIGHT_{name}", text)
    assert mistake(write("")).startswith(f"OVERNIGHT_{name}: {message}")


def test_variables_that_are_no_settings_are_left_alone(write, monkeypatch):
    monkeypatch.setenv("OVERNIGHT_TEST_DATA", "/data")
    monkeypatch.setenv("OVERNIGHT", "1")
    assert load_config(write("")).engine.max_concurrent == 3


def test_a_wrong_flag_is_named(write):
    assert mistake(write(""), engine__max_concurrent="x").startswith("flag: engine.max_concurrent: 'x' is not a whole")


# -- what is shown


def test_every_value_is_shown_with_its_origin(write):
    shown = load_config(write(FILMS)).origins()
    keys = [setting.key for setting in shown]
    assert len(keys) == len(set(keys))
    assert {"project.name", "engine.retry.cap_s", "gate.alpha", "tasks.nightly.needs.locks"} <= set(keys)
    assert {"sources.films.path", "agents.critic.class", "tasks.nightly.args"} <= set(keys)
    assert "tasks" not in keys


def test_passwords_and_secrets_are_hidden(write):
    text = """
    [engine]
    database = "postgresql://me:hunter2@host/db?sslpassword=hunter2"
    [tasks.n]
    action = ["call", "https://u:hunter2@host/"]
    args = { api_key = "hunter2", deep = { token = "hunter2" }, tokens = 5, plain = "seen" }
    """
    config = load_config(write(text))
    assert "hunter2" not in repr(config.origins())
    assert "seen" in repr(config.origins())
    assert "hunter2" in config.engine.database


def test_a_database_file_lies_below_the_project(write):
    folder = write("")
    assert load_config(folder).database_url == f"sqlite:///{folder.resolve()}/.overnight/overnight.db"
    for url in ("sqlite:////var/o.db", "postgresql://h/db", "sqlite:///:memory:"):
        assert load_config(folder, {"engine.database": url}).database_url == url


def test_the_environment_is_handed_out_as_a_copy(monkeypatch):
    monkeypatch.setenv("OVERNIGHT_X", "1")
    copy = environment()
    copy["OVERNIGHT_X"] = "2"
    assert environment()["OVERNIGHT_X"] == "1"


# -- where the project is


def test_the_project_is_found_from_below(write):
    folder = write("")
    (folder / "a" / "b").mkdir(parents=True)
    assert find_project(folder / "a" / "b") == folder.resolve()


def test_no_project_is_a_clear_error(tmp_path):
    with pytest.raises(NotAProject, match=r"there is no overnight\.toml in .* or above it"):
        find_project(tmp_path)
    with pytest.raises(NotAProject, match=r"there is no overnight\.toml"):
        load_config(tmp_path)


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ('[tasks.a]\naction = "m:f"\nschedule = "99 * * * *"', "b.toml: tasks.a.schedule: '99 * * * *': '99' is not"),
        ('[tasks.a]\naction = "m:f"\nevery = "soon"', "b.toml: tasks.a.every: 'soon' is not a period"),
        ('[tasks.a]\naction = "m:f"\nonce = "soon"', "b.toml: tasks.a.once: 'soon' is not an instant"),
        ('[tasks.a]\naction = "m:f"\nrate_limit = "often"', "b.toml: tasks.a.rate_limit: 'often' is not a rate"),
        (
            '[tasks.a]\naction = "m:f"\nschedule = "0 1 * * *"\ntimezone = "Europe/Berlm"',
            "b.toml: tasks.a.timezone: 'Europe/Berlm' is not a name",
        ),
        ('[nightly]\nschedule = "99 99 * * *"', "b.toml: nightly.schedule: '99 99 * * *': '99' is not a minute"),
        ('[nightly]\nenabled = false\nschedule = "at night"', "b.toml: nightly.schedule: 'at night' has 2 fields"),
        ('[notify.morning]\nschedule = "at 9"', "b.toml: notify.morning.schedule: 'at 9' has 2 fields"),
        ('[notify.stats]\nschedule = "at 9"', "b.toml: notify.stats.schedule: 'at 9' has 2 fields"),
        ('[loop.nlu]\nschedule = "at 9"', "b.toml: loop.nlu.schedule: 'at 9' has 2 fields"),
    ],
)
def test_a_time_that_means_nothing_is_told_with_its_file_and_key(tmp_path, toml, says):
    (tmp_path / "overnight.toml").write_text('include = ["b.toml"]\n')
    (tmp_path / "b.toml").write_text(toml)
    with pytest.raises(ConfigError) as caught:
        times.check(load_config(tmp_path))
    assert str(caught.value).startswith(says) and "\n" not in str(caught.value)


def test_a_time_that_a_variable_sets_is_told_with_the_variable(tmp_path, monkeypatch):
    (tmp_path / "overnight.toml").write_text("")
    monkeypatch.setenv("OVERNIGHT_NIGHTLY__SCHEDULE", "at night")
    with pytest.raises(ConfigError, match=r"^OVERNIGHT_NIGHTLY__SCHEDULE: nightly.schedule: 'at night' has 2"):
        times.check(load_config(tmp_path))


def test_the_times_of_a_project_are_checked_as_it_is_opened(tmp_path):
    (tmp_path / "overnight.toml").write_text('[nightly]\nschedule = "99 99 * * *"\n')
    with pytest.raises(ConfigError, match=r"overnight.toml: nightly\.schedule: '99 99 "):
        Project.open(tmp_path)
