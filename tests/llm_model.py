"""A language model for tests: it writes small exercises with code, and judges what it is shown, without being one."""

import json
import re

from llm_server import Json, Reply, says

WORDS = ("apple", "river", "stone", "cloud", "amber", "maple", "ocean", "tiger", "lemon", "piano", "robin", "olive")


def is_judging(body: Json) -> bool:
    return "reason" in fields_of(body)


def fields_of(body: Json) -> list[str]:
    return body["response_format"]["json_schema"]["schema"]["required"]


def number_of(body: Json) -> int:
    return int(re.search(r"It is number (\d+) of many", body["messages"][-1]["content"])[1]) - 1


def writes(body: Json) -> Json:
    """Return the exercise of that topic and number: another function, another constant, other words for each."""
    number, topic = number_of(body), re.search(r"topic.*?: (.*)", body["messages"][-1]["content"])[1]
    word = WORDS[number % len(WORDS)]
    name = f"{topic.replace(' ', '_')}_{word}_{number}"
    told = {
        "question": f"Write `{name}(x)`: {number} more than x, and never less than {number % 7} ({word} exercise).",
        "answer": f"`{name}` adds {number} and takes the greater one of that and {number % 7}.",
        "code": f"def {name}(x):\n    more = x + {number}\n    if more < {number % 7}:\n        return {number % 7}\n"
        "    return more",
        "tests": f"assert {name}(1) == {number + 1}\nassert {name}(-1000000) == {number % 7}\n"
        f"assert {name}({number % 7 - number}) == {number % 7}",
    }
    return {field: told[field] for field in fields_of(body)}


def judges(body: Json) -> Json:
    """Return what somebody says who looks whether the answer speaks of the question's function, and is whole."""
    question, answer = re.search(
        r"<user>\n(.*)\n</user>\n\n<assistant>\n(.*)\n</assistant>", body["messages"][-1]["content"], re.DOTALL
    ).groups()
    name = re.search(r"`(\w+)\(x\)`", question)[1]
    grounded, whole = float(name in answer), float(answer.rstrip().endswith((".", "```")))
    fault = "it answers something else" if not grounded else "it breaks off" if not whole else "none"
    scores = {"groundedness": 0.1 + 0.8 * grounded, "coherence": 0.2 + 0.7 * whole, "reason": fault}
    return {field: scores[field] for field in fields_of(body)}


def model(body: Json, before: int) -> Reply:
    return says(**(judges(body) if is_judging(body) else writes(body)))


def with_answers(**changed: object):
    """Return a model that gives these fields, in the place of its own, to whoever asks for an exercise."""

    def plan(body: Json, before: int) -> Reply:
        if is_judging(body):
            return says(**judges(body))
        told = writes(body)
        return Reply(content=json.dumps({name: changed.get(name, value) for name, value in told.items()}))

    return plan
