"""Each setting is documented where it stands, and every word of others leads to one of ours."""

import ast
import subprocess
import sys
from dataclasses import fields, is_dataclass
from inspect import getsource
from typing import get_args

import pytest

from overnight.base import config, engine_settings, fleet_settings, gate_settings, resource_settings, service_settings
from overnight.base.engine_settings import PriorityName
from overnight.base.refs import ExecutorName
from overnight.base.schema import flatten
from overnight.base.vocabulary import FOREIGN, nearest, suggestion

MODULES = (config, engine_settings, fleet_settings, gate_settings, resource_settings, service_settings)
TABLES = [
    value
    for module in MODULES
    for value in vars(module).values()
    if is_dataclass(value) and value.__name__.endswith("Settings") and value.__module__ == module.__name__
]


def undocumented(source: str) -> list[str]:
    body = ast.parse(source).body[0].body  # type: ignore[attr-defined]
    return [
        node.target.id
        for node, after in zip(body, [*body[1:], None], strict=True)
        if isinstance(node, ast.AnnAssign)
        and not (isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant))
    ]


@pytest.mark.parametrize("table", TABLES)
def test_each_setting_is_documented_below_its_name(table):
    assert undocumented(getsource(table)) == []
    assert table.__doc__


def test_a_missing_description_is_found():
    assert undocumented('class A:\n    x: int = 1\n    """Yes."""\n    y: int = 2') == ["y"]


def test_every_foreign_word_leads_to_one_of_ours():
    keys = {config.key_of(item.name, item.metadata) for table in TABLES for item in fields(table)}
    values = {*get_args(PriorityName), *get_args(ExecutorName)}
    assert set(FOREIGN.values()) <= keys | values
    for table in TABLES:
        of_table = {config.key_of(item.name, item.metadata) for item in fields(table)}
        assert not {foreign for foreign, ours in FOREIGN.items() if {foreign, ours} <= of_table}


def test_a_foreign_word_wins_over_a_similar_one():
    assert nearest("medium", ["CRITICAL", "HIGH", "NORMAL", "LOW"]) == "NORMAL"
    assert nearest("normal", ["HIGH", "NORMAL"]) == "NORMAL"
    assert nearest("timeout-seconds", ["timeout_s", "target"]) == "timeout_s"
    assert nearest("zzzz", ["alpha"]) is None


def test_a_suggestion_lists_what_is_allowed():
    assert suggestion("alhpa", ["alpha", "beta"]) == "; did you mean alpha? (alpha, beta)"
    assert suggestion("zzzz", ["alpha", "beta"]) == "; known are alpha, beta"


def test_nested_tables_become_dotted_keys():
    table = {"engine": {"retry": {"base_s": 1}}, "tasks": {"a": {"args": {"x": {"y": 1}}}}}
    assert dict(flatten(table, "f")) == {("engine", "retry", "base_s"): 1, ("tasks", "a", "args"): {"x": {"y": 1}}}


def test_reading_no_configuration_loads_no_pydantic():
    code = "import overnight.base.settings, sys; print('pydantic' in sys.modules)"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert child.stdout.strip() == "False"
