"""What the settings say of services, checked together."""

import pytest

from overnight.base.errors import ConfigError
from overnight.base.resource_settings import HealthSettings, ServiceSettings
from overnight.base.settings import load_config
from overnight.base.variables import put_in
from overnight.supervisor.described import started_of
from overnight.supervisor.spec import spelled_out, started, stopping_order, with_needed


def service(**given):
    return ServiceSettings(command=("serve",), **given)


def test_variables_are_put_into_all_texts_of_a_service():
    one = ServiceSettings(
        command=("serve", "${PORT:-9000}"),
        folder="${HOME_OF_IT}/app",
        environment={"KEY": "${KEY}"},
        health=HealthSettings(url="http://127.0.0.1:${PORT:-9000}/health", port=None),
    )
    found = spelled_out({"api": one}, {"HOME_OF_IT": "/srv", "KEY": "a${b}", "PORT": ""})["api"]
    assert found.command == ("serve", "9000") and found.folder == "/srv/app"
    assert found.environment == {"KEY": "a${b}"}, "what is put in is not looked at again"
    assert found.health.url == "http://127.0.0.1:9000/health"
    assert spelled_out({"api": one}, {"HOME_OF_IT": "x", "KEY": "k", "PORT": "1"})["api"].command[1] == "1"


@pytest.mark.parametrize(("port", "found"), [(9100, 9100), ("${P:-9200}", 9200), ("9300", 9300)])
def test_a_port_may_come_from_the_environment(port, found):
    one = service(health=HealthSettings(port=port))
    assert spelled_out({"a": one}, {})["a"].health.port == found


@pytest.mark.parametrize("port", ["${P:-x}", "0", 70000, "-1", "${P:-}"])
def test_what_is_no_port_is_refused(port):
    with pytest.raises(ConfigError, match=r"services\.a\.health\.port: .* is not a port from 1 to 65535"):
        spelled_out({"a": service(health=HealthSettings(port=port))}, {})


def test_what_is_not_enabled_needs_no_variables():
    one = service(folder="${NOWHERE}/x", enabled=False)
    assert spelled_out({"a": one}, {})["a"] == one


def test_what_is_asked_for_brings_what_it_needs():
    services = {"a": service(after=("b", "c")), "b": service(after=("c",)), "c": service(), "d": service()}
    assert with_needed(services, ["a"]) == {"a", "b", "c"} and with_needed(services, ["d"]) == {"d"}


def test_an_empty_variable_is_one_where_nothing_is_usual():
    assert put_in("a${B}c${B:-d}", {"B": ""}, "x") == "acd"


@pytest.mark.parametrize("text", ["${", "${1}", "${A:-${B}}", "${A"])
def test_what_names_no_variable_is_refused(text):
    with pytest.raises(ConfigError, match=r'x: has a "\$\{" that names no variable'):
        put_in(text, {"A": "a"}, "x")


def test_a_variable_that_is_missing_is_named_with_its_setting():
    with pytest.raises(ConfigError, match=r"services\.api\.command\[1\]: the environment has no variable 'PORT'"):
        spelled_out({"api": ServiceSettings(command=("serve", "${PORT}"))}, {})


@pytest.mark.parametrize(
    ("services", "why"),
    [
        ({"a b": service()}, "services: 'a b' is not a name"),
        ({".a": service()}, "services: '.a' is not a name"),
        (
            {"a": service(after=("bee",)), "bees": service()},
            r"services\.a\.after: there is no service 'bee'; did you mean bees",
        ),
        (
            {"a": service(after=("b",)), "b": ServiceSettings(words=("x",))},
            r"services\.a\.after: 'b' is not started here",
        ),
        ({"a": service(after=("b",)), "b": service(enabled=False)}, r"services\.a\.after: 'b' is not started here"),
        ({"a": service(after=("b",)), "b": service(phase=2)}, r"services\.a\.after: 'b' is of a later phase \(2\)"),
        ({"a": service(after=("b",)), "b": service(after=("c",)), "c": service(after=("b",))}, "come after itself"),
        ({"a": service(health=HealthSettings(port=1, command=("x",)))}, "give one of url, port and command"),
        ({"a": service(health=HealthSettings(port=1, path="x"))}, "`path` needs `url`"),
        ({"a": service(health=HealthSettings(url="http://x", equals="x"))}, "`equals` needs `path`"),
        ({"a": ServiceSettings(words=("x",), links={"b": "http://x"})}, r"services\.a\.links: it has no `command`"),
    ],
)
def test_what_cannot_be_started_is_refused_in_one_line(services, why):
    with pytest.raises(ConfigError, match=why):
        started(services)


def test_those_without_a_command_and_those_that_are_not_enabled_are_not_started():
    services = {"a": service(), "b": service(enabled=False), "c": ServiceSettings(words=("x",))}
    assert list(started(services)) == ["a"]


def test_they_are_stopped_in_reverse_those_that_others_need_last():
    services = {
        "db": service(phase=1),
        "api": service(phase=2),
        "web": service(phase=2, after=("api",)),
        "mail": service(phase=2),
    }
    assert stopping_order(started(services)) == [["mail", "web"], ["api"], ["db"]]


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ('health = { url = "ftp://x/" }', "health.url"),
        ('health = { url = "http://127.0.0.1:notaport/" }', "health.url"),
        ('health = { url = "http://127.0.0.1:70000/" }', "health.url"),
        ('health = { url = "127.0.0.1:8135/" }', "health.url"),
        ('links = { db = "127.0.0.1:8134/links" }', "links.db"),
    ],
)
def test_what_is_no_address_is_refused_before_anything_is_started(tmp_path, given, key):
    (tmp_path / "overnight.toml").write_text(f'[services.a]\ncommand = ["serve"]\n{given}\n')
    with pytest.raises(ConfigError, match=rf"services\.a\.{key}: .* is not an address such as"):
        started_of(load_config(tmp_path))
