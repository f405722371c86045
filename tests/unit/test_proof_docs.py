"""The page on proof says what the code does."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def test_the_example_runs_and_accepts(capsys):
    if not DOCS.is_dir():
        pytest.skip("the documentation is not beside the tests (mutmut copies the tests alone)")
    page = (DOCS / "concepts-proof.md").read_text(encoding="utf-8")
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(code, "concepts-proof.md", "exec"), {})
    assert capsys.readouterr().out.startswith("ACCEPT The candidate is better; mean difference +0.16 over 100 items")
