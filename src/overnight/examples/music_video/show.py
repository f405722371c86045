"""Prints what the newest production has made: `python show.py [RUN]`."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER, RESULT = Path(".overnight") / "data" / "productions", "production.json"
Json = dict[str, Any]


def lines(produced: Json) -> Iterator[str]:
    """Yield what is told of a production."""
    yield f"{produced['brief'].get('title', 'untitled')}: {produced['status']}, in {produced['folder']}"
    for name, one in produced["agents"].items():
        yield f"  {name:<22} {one['status'] if one['status'] != 'done' else _short(one.get('output'))}{_why(one)}"


def _why(one: Json) -> str:
    return f": {one['error']}" if one.get("error") else ""


def _short(output: Any) -> str:  # Any: JSON, whatever an agent has answered
    if not isinstance(output, dict):
        return _value(output)[:100]
    if "measured" in output:
        found = output["measured"]
        lasts, loud = found["duration_s"], found["loudness"]
        figures = [
            "" if lasts is None else f"{lasts:.0f} s",
            "" if loud is None else f"{loud['integrated_lufs']:.1f} LUFS",
        ]
        return f"{output['path']} ({', '.join(one for one in (output['made_by'], *figures) if one)})"
    if "path" in output:
        return str(output["path"])
    return ", ".join(f"{name} {_value(value)}" for name, value in output.items() if name != "text")[:100]


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(one.get("title") if isinstance(one, dict) else one) for one in value[:3])
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def main() -> None:
    """Print it; end with 1 where there is none."""
    made = sorted((int(path.parent.name) for path in FOLDER.glob(f"*/{RESULT}")), reverse=True)
    if not made:
        sys.exit("nothing was produced yet: overnight tasks run production --wait")
    run = sys.argv[1] if sys.argv[1:] else str(made[0])
    if run not in map(str, made):
        sys.exit(f"there is no production {run}; there are {', '.join(map(str, made[:5]))}")
    print("\n".join(lines(json.loads((FOLDER / run / RESULT).read_text()))))  # noqa: T201 -- what it is for


if __name__ == "__main__":
    main()
