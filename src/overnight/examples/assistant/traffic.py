"""Users of the assistant, who say afterwards what would have been right: python traffic.py [--requests N] [--seed N]

Each line of the summary: requests, answers that were right, answers that never came, and which version gave how many.
"""

import argparse
import json
import os
import urllib.error
import urllib.request
from collections import Counter

import data

URL = f"http://127.0.0.1:{os.environ.get('ASSISTANT_PORT', '9100')}"


def post(path: str, body: dict) -> dict:
    request = urllib.request.Request(URL + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    wish = parser.parse_args()
    right, lost, versions = 0, 0, Counter()
    for number, (text, intent) in enumerate(data.requests(wish.requests, wish.seed)):
        try:
            told = post("/ask", {"user": f"user {number}", "text": text})
            versions[told["version"]] += 1
            right += told["output"]["intent"] == intent
            post("/feedback", {"request": told["request"], "expected": intent})
        except (urllib.error.URLError, OSError) as error:
            lost += 1
            print(f"lost: {error}")
    shares = ", ".join(f"{version} {count}" for version, count in sorted(versions.items()))
    print(f"{wish.requests} requests, {right} right, {lost} lost; answered by {shares}")


if __name__ == "__main__":
    main()
