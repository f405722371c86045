"""Prints where the newest finished video is and what its review says: `python show.py [VIDEO_ID]`."""

import sys

import channel_files as files


def main() -> int:
    """Return 0 where there is one."""
    finished = [one for one in files.videos() if files.has(one, files.REVIEW)]
    wanted = sys.argv[1] if len(sys.argv) > 1 else (finished[-1] if finished else None)
    if wanted is None:
        print("no video is finished yet: overnight tasks run scriptwriter --with-dependants --wait", file=sys.stderr)
        return 1
    assembly, review = files.read(wanted, files.ASSEMBLY), files.read(wanted, files.REVIEW)
    print(f"{files.folder_of(wanted) / assembly['path']}")
    print(f"  {assembly['duration_s']:.0f} s, rendered in {assembly['render_s']:.0f} s")
    print(f"  review: {review['decision']}, {review['overall']:.2f} of 10")
    print("  " + ", ".join(f"{name} {score:.1f}" for name, score in review["scores"].items()))
    for reason in review["reasons"]:
        print(f"  - {reason}")
    if files.has(wanted, files.COMMITTEE):
        committee = files.read(wanted, files.COMMITTEE)
        print(f"  committee: {committee['decision']}; {committee['why']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
