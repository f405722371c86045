"""Prints where the newest finished video is and what its review says: `python show.py [VIDEO_ID]`."""

import sys
from collections.abc import Iterator

import channel_files as files

from overnight.base.errors import said_by


def lines(video_id: str) -> Iterator[str]:
    """Yield what is told of a finished video."""
    assembly, review = files.read(video_id, files.ASSEMBLY), files.read(video_id, files.REVIEW)
    yield str(files.folder_of(video_id) / assembly["path"])
    yield f"  {assembly['duration_s']:.0f} s, rendered in {assembly['render_s']:.0f} s"
    yield f"  review: {review['decision']}, {review['overall']:.2f} of 10"
    yield "  " + ", ".join(f"{name} {score:.1f}" for name, score in review["scores"].items())
    found = review["measurements"]
    if found:
        checked, told = found["sentences_checked"], found["sentences"]
        yield f"  {checked} of {told} sentences could be checked against their sources"
    yield from (f"  - {reason}" for reason in review["reasons"])
    if files.has(video_id, files.COMMITTEE):
        committee = files.read(video_id, files.COMMITTEE)
        yield f"  committee: {committee['decision']}; {committee['why']}"


def main() -> None:
    """Print it; end with 1 where there is none yet, and with 2 where the one that was named cannot be shown."""
    finished = [one for one in files.videos() if files.has(one, files.REVIEW)]
    wanted = sys.argv[1] if len(sys.argv) > 1 else (finished[-1] if finished else None)
    if wanted is None:
        sys.exit("no video is finished yet: overnight tasks run scriptwriter --with-dependants --wait")
    try:
        print("\n".join(lines(wanted)))  # noqa: T201 -- what the program is for
    except files.BROKEN as error:
        print(said_by(error), file=sys.stderr)  # noqa: T201 -- what the program is for
        sys.exit(2)


if __name__ == "__main__":
    main()
