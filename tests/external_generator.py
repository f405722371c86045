"""A generator that is a program of its own, for tests: it says in its log what it makes, which is nothing.

    external_generator.py HOW TARGET [LOG]

It goes on where its file `made` in the working folder says it was, as an external generator must.
"""

import json
import signal
import sys
import threading
from pathlib import Path

HOW, TARGET, LOG = sys.argv[1], int(sys.argv[2]), next(iter(sys.argv[3:]), None)
output = open(LOG, "a", buffering=1) if LOG else sys.stdout  # noqa: SIM115, PTH123


def say(text):
    print(text, file=output)


def stay():
    while True:
        threading.Event().wait(60)


def make(domain, count, quality, *, of=None):
    of = of or count
    made = Path(f"made-{domain}-{of}")
    begin = int(made.read_text()) if made.exists() else 0
    for number in range(begin + 1, count + 1):
        word = "rejected: too short" if number % 10 == 0 else "accepted"
        say(f"sample {domain}-{number} {word} (quality: {quality:.2f})")
        say(f"[{domain}] {number}/{of}")
        made.write_text(str(number))


with Path(f"started-{TARGET}").open("a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\n")
say("no sample was accepted yet")
if HOW == "good":
    make("code", TARGET, 0.9)
elif HOW == "bad":
    make("code", TARGET, 0.5)
elif HOW == "domains":
    for name in ("python", "sql", "regex", "text", "math"):
        make(name, TARGET // 5, 0.9)
elif HOW == "first domain":
    make("python", TARGET // 5, 0.9)
elif HOW == "unmeasured":
    make("code", TARGET - 1, 0.9, of=TARGET)
    say(f"[code] {TARGET}/{TARGET}")
elif HOW == "fails":
    make("code", 5, 0.9, of=TARGET)
    say("Traceback (most recent call last):")
    say("OSError: no room is left")
    raise SystemExit(1)
elif HOW in ("stalls", "waits"):
    make("code", 5, 0.9, of=TARGET)
    stay()
elif HOW == "graceful":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    make("code", 5, 0.9, of=TARGET)
    stay()
elif HOW == "chatters":
    make("code", 5, 0.9, of=TARGET)
    while True:
        say("no answer from the model, trying again")
        threading.Event().wait(0.01)
elif HOW == "resumes":
    # The first half, then it dies; the second time it goes on.
    begun = Path(f"made-code-{TARGET}").exists()
    make("code", TARGET if begun else TARGET // 2, 0.9, of=TARGET)
    if not begun:
        raise SystemExit(3)
elif HOW == "begins anew":
    begun = Path("begun").exists()
    Path("begun").touch()
    for number in range(1, (TARGET if begun else TARGET // 2) + 1):
        say(f"sample {number} accepted (quality: {0.9 if begun else 0.1})")
        say(f"[code] {number}/{TARGET}")
    raise SystemExit(0 if begun else 3)
elif HOW == "dies":
    # The first half of the pilot, then it waits to be killed; the second time it goes on.
    begun = Path("begun").exists()
    Path("begun").touch()
    make("code", TARGET if begun else TARGET // 2, 0.9, of=TARGET)
    if not begun:
        stay()
