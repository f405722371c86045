"""Trains the first version of each model on a little data, and lets it serve: python first_models.py [MODEL ...]

The daemon has to be up. Of the requests only three intents are known at first: the others come with the traffic.
"""

import sys

import data

from overnight import Client


def experience(given: object, expected: object) -> dict:
    return {"type": "first", "input": given, "expected_output": expected, "success": True, "confidence": 1.0}


def experiences() -> dict[str, list[dict]]:
    """Return what each model learns from at first."""
    known = ("weather", "music", "timer")
    return {
        "nlu": [experience(text, intent) for text, intent in data.requests(60, 1, known)],
        "vision": [experience({"rows": rows}, digit) for rows, digit in data.images(150, 1)],
        "embedding": [experience({"a": a, "b": b}, alike) for a, b, alike in data.pairs(150, 1)],
        "voice": [experience({"wav": data.voice(n % 4, n)}, f"speaker {n % 4}") for n in range(32)],
    }


def main() -> None:
    client = Client()
    for model, some in experiences().items():
        if sys.argv[1:] and model not in sys.argv[1:]:
            continue
        job = client.submit_training(model, some, job_id=f"first-{model}")
        for event in client.stream(job["job_id"]):
            if event.name in ("completed", "failed", "cancelled"):
                print(f"{model}: {event.name} {event.data.get('model_version') or event.data.get('error') or ''}")


if __name__ == "__main__":
    main()
