"""Linear algebra keeps to one core while a model trains, also where a library is loaded only then."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("sklearn")

PROGRAM = """
import json, os, sys
import numpy
from threadpoolctl import threadpool_info
from overnight.training.one_core import one_core

seen = []
def look():
    seen.append([library["num_threads"] for library in threadpool_info()])

with one_core():
    look()
    with one_core():
        import scipy.linalg
        look()
    look()
    seen.append("sklearn" in sys.modules)
look()
print(json.dumps([seen, os.environ.get("OMP_NUM_THREADS")]))
"""


@pytest.mark.parametrize("said", [None, "3"])
def test_libraries_keep_to_one_core_inside_and_get_back_their_own_number(said):
    env = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    env |= {"OMP_NUM_THREADS": said} if said else {}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=env, check=True)
    (first, inside, after, loaded, free), left = json.loads(done.stdout)
    assert (first, inside, after) == ([1], [1, 1], [1, 1])
    assert not loaded
    assert set(free) <= {int(said or os.cpu_count() or 1), os.cpu_count()} and left == said
