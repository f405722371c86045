"""The sample-ratio test agrees with the library of those who published it (Lindon and Malek 2022)."""

import json
import os
import subprocess

import pytest

from overnight.proof.eprocess import WEIGHT, mismatch

SAVVI = os.environ.get("OVERNIGHT_TEST_SAVVI")
PROGRAM = """
import json, sys
import numpy as np
from savvi.multinomial import Multinomial
share, weight, batches = json.load(sys.stdin)
test = Multinomial(0.01, np.array([share, 1 - share]), weight)
for batch in batches:
    test.update(np.array(batch))
    print(float(test.odds))
"""


@pytest.mark.skipif(SAVVI is None, reason="`make interop-savvi` asks the library savvi, which brings much with it")
@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.98])
def test_the_evidence_that_keys_are_not_drawn_as_set_is_that_of_savvi(share):
    # As they should be, then more and more of the candidate's are lost.
    batches = [[round(1000 * share), round(1000 * (1 - share))], [3, 40], [40, 3], [0, 500], [1, 0], [5000, 5000]]
    told = subprocess.run(  # a Python that the person who runs this names
        [SAVVI, "-c", PROGRAM], input=json.dumps([share, WEIGHT, batches]), capture_output=True, text=True, check=True
    )
    theirs = [float(line) for line in told.stdout.splitlines()]
    candidate, champion, mine = 0, 0, []
    for more, others in batches:
        candidate, champion = candidate + more, champion + others
        mine.append(mismatch({share: (candidate, champion)}, shares=1))
    assert mine == pytest.approx([min(value, 1e100) for value in theirs], rel=1e-9)
