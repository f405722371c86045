"""The modules of the example music_video, for tests: what an example holds is a project's code, found by its folder."""

import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "src" / "overnight" / "examples" / "music_video"
if str(EXAMPLE) not in sys.path:
    # At the end: projects of tests have a module `agents` of their own.
    sys.path.append(str(EXAMPLE))
