"""Hard tasks: the design of services, a query that reads less, payments that are taken once. Pure."""

import json

from overnight.learning.checks import ProgramCheck
from overnight.learning.coding.building import STYLE, Coding, figure, in_time, python, style, tests, types
from overnight.learning.makers import Draw

_PARTS = ("gateway", "search", "catalogue", "billing", "mail", "reports", "images", "accounts")
LESS_WORK = 12
RULES = 6


def service(draw: Draw) -> Coding:
    """Return the task to design services for given loads, with a budget, of which none may fail alone."""
    parts = draw.some("parts", _PARTS, 4)
    loads = {part: draw.whole(f"{part} load", 2, 30) * 100 for part in parts}
    sizes = {
        "small": {"rps": draw.whole("small", 100, 180), "usd": 20},
        "large": {"rps": draw.whole("large", 600, 900), "usd": draw.whole("price", 60, 90)},
    }
    spare = draw.whole("spare", 20, 50)
    budget = _cheapest(loads, sizes, spare) + 2 * 20
    needs = {part: parts[place + 1 :] for place, part in enumerate(parts)}
    given = {"loads_rps": loads, "sizes": sizes, "needs": needs, "spare_percent": spare, "budget_usd": budget}
    facts = {
        "given": "requirements.json",
        "file": "design.json",
        "budget": f"{budget} USD a month",
        "spare": f"{spare} % above the load",
        "services": ", ".join(parts),
    }
    details = (
        'design.json is {"services": [{"name": NAME, "size": SIZE, "replicas": N, "calls": [NAMES]}], "usd": TOTAL}. '
        "There is one entry for each service of loads_rps. Each has at least 2 replicas of one of the sizes; with one "
        "replica gone, the others still carry its load and what is to spare (replicas - 1 times the size's rps is at "
        "least load times (1 + spare / 100)). calls names services that it needs, among those that `needs` allows it, "
        "at least one where it allows any; no service calls itself in a circle. TOTAL is the sum of replicas times usd "
        "of their size, and within budget_usd."
    )
    return Coding(
        task="Design a set of services that carries its load, survives the loss of any one replica, and is affordable.",
        facts=facts,
        details=details,
        files={"requirements.json": json.dumps(given, indent=1)},
        hidden={"judge.py": _DESIGN},
        answer=("design.json",),
        verify=(ProgramCheck(name="JSON", command=python("-m", "json.tool", "design.json")),),
        checks=(figure("rules kept", "judge.py", "kept", RULES), in_time()),
    )


def _cheapest(loads: dict[str, int], sizes: dict[str, dict[str, int]], spare: int) -> int:
    """Return what the cheapest design costs, each service by itself."""
    return sum(
        min((1 + max(1, -(-load * (100 + spare) // (100 * size["rps"])))) * size["usd"] for size in sizes.values())
        for load in loads.values()
    )


_DESIGN = """import json

asked = json.load(open("requirements.json"))
told = json.load(open("design.json"))
services = {one["name"]: one for one in told["services"]}
sizes, loads, needs = asked["sizes"], asked["loads_rps"], asked["needs"]


def circle(name, above):
    return name in above or any(circle(other, (*above, name)) for other in services[name]["calls"])


def holds(rule):
    try:
        return bool(rule())
    except Exception as error:
        print("broken:", type(error).__name__, error)
        return False


rules = [
    lambda: len(told["services"]) == len(services) and services.keys() == loads.keys(),
    lambda: all(isinstance(one["replicas"], int) and one["replicas"] >= 2 for one in services.values()),
    lambda: all(
        (one["replicas"] - 1) * sizes[one["size"]]["rps"] >= loads[name] * (1 + asked["spare_percent"] / 100)
        for name, one in services.items()
    ),
    lambda: all(
        set(one["calls"]) <= set(needs[name]) and bool(one["calls"]) == bool(needs[name])
        for name, one in services.items()
    ),
    lambda: not any(circle(name, ()) for name in services),
    lambda: told["usd"] == sum(one["replicas"] * sizes[one["size"]]["usd"] for one in services.values())
    and told["usd"] <= asked["budget_usd"],
]
print("kept:", sum(holds(rule) for rule in rules) if services else 0)
"""


def query(draw: Draw) -> Coding:
    """Return the task to make a query read less: the steps of SQLite's machine are counted, not the time."""
    thing, owner = (
        draw.one("thing", ("orders", "visits", "readings")),
        draw.one("owner", ("customers", "places", "meters")),
    )
    least, top = draw.whole("least", 2, 5) * 100, draw.whole("top", 3, 9)
    schema = (
        f"CREATE TABLE {owner} (id INTEGER PRIMARY KEY, name TEXT NOT NULL, region TEXT NOT NULL);\n"
        f"CREATE TABLE {thing} (id INTEGER PRIMARY KEY, owner_id INTEGER NOT NULL, amount INTEGER NOT NULL, "
        "day INTEGER NOT NULL);\n"
    )
    given = (
        f"SELECT o.name, (SELECT COUNT(*) FROM {thing} t WHERE t.owner_id = o.id AND t.amount >= {least}) AS many,\n"
        f"       (SELECT MAX(day) FROM {thing} t WHERE t.owner_id = o.id AND t.amount >= {least}) AS last\n"
        f"FROM {owner} o\nWHERE o.region = 'north'\n  AND EXISTS (SELECT 1 FROM {thing} t WHERE t.owner_id = o.id AND "
        f"t.amount >= {least})\nORDER BY many DESC, o.name\nLIMIT {top};\n"
    )
    facts = {
        "schema": "schema.sql",
        "query": "query.sql",
        "files": "better.sql (one SELECT) and indexes.sql (CREATE INDEX statements, at most 3)",
        "less work": f"at least {LESS_WORK} times fewer steps of SQLite's virtual machine",
    }
    details = (
        "Both are run by SQLite, after ANALYZE, on 300 owners with 20 rows each. better.sql returns the same rows in "
        "the same order as query.sql, for any content of the tables. Only the steps of the query count, not those that "
        "make the indexes."
    )
    values = {"thing": thing, "owner": owner}
    return Coding(
        task="Make a query do less work: rewrite it, and add indexes.",
        facts=facts,
        details=details,
        files={"schema.sql": schema, "query.sql": given},
        hidden={"judge.py": _STEPS.format(**values)},
        answer=("better.sql", "indexes.sql"),
        verify=(ProgramCheck(name="SQL", command=python("-c", _RUNS)),),
        checks=(
            figure("same rows", "judge.py", "same", 4),
            figure("less work", "judge.py", "less", LESS_WORK),
            ProgramCheck(name="three indexes", command=python("-c", _FEW)),
            in_time(),
        ),
    )


_RUNS = (
    "import sqlite3; read = lambda name: open(name).read(); c = sqlite3.connect(':memory:'); "
    "[c.executescript(read(name)) for name in ('schema.sql', 'indexes.sql')]; c.execute(read('better.sql'))"
)
_FEW = (
    "import sqlite3; read = lambda name: open(name).read(); c = sqlite3.connect(':memory:'); "
    "[c.executescript(read(name)) for name in ('schema.sql', 'indexes.sql')]; "
    "assert c.execute('SELECT COUNT(*) FROM sqlite_master WHERE type = ?', ('index',)).fetchone()[0] <= 3; "
    "assert c.execute('SELECT COUNT(*) FROM sqlite_master WHERE type <> ?', ('index',)).fetchone()[0] == 2"
)
_STEPS = """import random
import sqlite3


def read(name):
    return open(name).read()


def made(seed, owners, each, indexed):
    draw = random.Random(seed)
    database = sqlite3.connect(":memory:")
    database.executescript(read("schema.sql"))
    database.executemany(
        "INSERT INTO {owner} VALUES (?, ?, ?)",
        [(n, f"name {{draw.randrange(10**6)}}", draw.choice(["north", "south", "west"])) for n in range(owners)],
    )
    database.executemany(
        "INSERT INTO {thing} (owner_id, amount, day) VALUES (?, ?, ?)",
        [(n % owners, draw.randrange(1000), draw.randrange(365)) for n in range(owners * each)],
    )
    if indexed:
        database.executescript(read("indexes.sql"))
    database.executescript("ANALYZE;")
    return database


def run(database, sql):
    steps = 0

    def count():
        nonlocal steps
        steps += 1

    database.set_progress_handler(count, 10)
    rows = database.execute(sql).fetchall()
    database.set_progress_handler(None, 0)
    return rows, steps


same = 0
for seed, owners, each in ((1, 300, 20), (2, 40, 3), (3, 7, 0), (4, 1, 50)):
    rows, before = run(made(seed, owners, each, False), read("query.sql"))
    ours, after = run(made(seed, owners, each, True), read("better.sql"))
    same += rows == ours
    if seed == 1:
        less = before / max(1, after) if rows == ours else 0.0
print("same:", same)
print("less:", round(less, 1))
"""


def payment(draw: Draw) -> Coding:
    """Return the task to take payments exactly once, in cents, whatever is asked again and at the same time."""
    most = draw.whole("most", 5, 50) * 10_000
    days = draw.whole("days", 3, 10)
    module = draw.one("module", ("payments", "charges", "checkout"))
    facts = {
        "module": f"{module}.py",
        "class": "Payments()",
        "most of a payment": f"{most} cents",
        "longest authorisation": f"{days} days",
        "error": f"PaymentError (an Exception, defined in {module}.py)",
    }
    details = (
        "authorise(key: str, cents: int, day: int) -> str returns the id of a new payment; capture(key: str, "
        "payment: str, cents: int, day: int) -> int takes at most what was authorised, once, and returns what was "
        "taken; refund(key: str, payment: str, cents: int) -> int gives back, in as many parts as one likes, at most "
        "what was captured in all, and returns what was refunded in all so far; balance(payment: str) -> int is what "
        "was captured less what was refunded. Cents are whole numbers above 0 (no bool, no float), at most the most of "
        "a payment. A capture later than the longest authorisation after its day is refused; days are whole numbers. "
        "The key of a call (not empty) makes it happen once: the same call with the same key returns the same again, "
        "and changes nothing; another call with a key that was used is refused, also by another method. What is "
        "refused raises PaymentError, changes nothing, and its key may be used again. Calls may come from several "
        f"threads at the same time. {STYLE}"
    )
    values = {"module": module, "most": most, "days": days}
    return Coding(
        task="Write a payment flow that takes no cent twice.",
        facts=facts,
        details=details,
        files={"example.py": _PAYMENT_EXAMPLE.format(**values)},
        hidden={"hidden_tests.py": _PAYMENTS.format(**values)},
        answer=(f"{module}.py",),
        verify=(ProgramCheck(name="example", command=python("example.py")), types(f"{module}.py")),
        checks=(tests(10), style(f"{module}.py"), types(f"{module}.py"), in_time()),
    )


_PAYMENT_EXAMPLE = """from {module} import Payments

payments = Payments()
one = payments.authorise("a", 500, 1)
assert payments.authorise("a", 500, 1) == one
assert payments.capture("b", one, 400, 2) == 400
assert payments.refund("c", one, 100) == 100
assert payments.balance(one) == 300
"""
_PAYMENTS = """import threading

import pytest
from {module} import PaymentError, Payments


@pytest.fixture
def payments():
    return Payments()


def refused(call, *given):
    with pytest.raises(PaymentError):
        call(*given)
    return True


def test_a_payment_is_taken_and_given_back(payments):
    one = payments.authorise("a", 500, 1)
    assert payments.balance(one) == 0
    assert payments.capture("b", one, 400, 2) == 400 and payments.balance(one) == 400
    assert payments.refund("c", one, 150) == 150 and payments.refund("d", one, 250) == 400
    assert payments.balance(one) == 0 and refused(payments.refund, "e", one, 1)


def test_the_same_call_again_happens_once(payments):
    one = payments.authorise("a", 500, 1)
    assert payments.authorise("a", 500, 1) == one != payments.authorise("z", 500, 1)
    assert [payments.capture("b", one, 400, 2) for _ in range(3)] == [400] * 3
    assert [payments.refund("c", one, 100) for _ in range(3)] == [100] * 3
    assert payments.balance(one) == 300
    payments.refund("d", one, 100)
    assert payments.refund("c", one, 100) == 100


def test_a_key_means_one_call(payments):
    one = payments.authorise("a", 500, 1)
    assert refused(payments.authorise, "a", 501, 1) and refused(payments.authorise, "a", 500, 2)
    assert refused(payments.capture, "a", one, 500, 1)
    payments.capture("b", one, 400, 2)
    assert refused(payments.refund, "b", one, 400) and payments.balance(one) == 400


def test_what_was_refused_may_be_asked_again_by_its_key(payments):
    one = payments.authorise("a", 500, 1)
    assert refused(payments.capture, "b", one, 501, 1)
    assert payments.capture("b", one, 500, 1) == 500


def test_no_more_is_taken_than_was_authorised_and_only_once(payments):
    one = payments.authorise("a", 500, 1)
    assert refused(payments.capture, "b", one, 501, 1)
    payments.capture("c", one, 200, 1)
    assert refused(payments.capture, "d", one, 100, 1) and payments.balance(one) == 200


def test_no_more_is_given_back_than_was_taken(payments):
    one = payments.authorise("a", 500, 1)
    assert refused(payments.refund, "b", one, 1)
    payments.capture("c", one, 300, 1)
    assert refused(payments.refund, "d", one, 301)
    payments.refund("e", one, 200)
    assert refused(payments.refund, "f", one, 101) and payments.balance(one) == 100


def test_an_authorisation_ends(payments):
    one, two = payments.authorise("a", 500, 1), payments.authorise("b", 500, 1)
    assert payments.capture("c", one, 500, 1 + {days}) == 500
    assert refused(payments.capture, "d", two, 500, 2 + {days})


def test_what_is_no_amount_is_refused(payments):
    for cents in (0, -1, True, 1.0, "1", None, {most} + 1):
        assert refused(payments.authorise, "a", cents, 1)
    one = payments.authorise("a", {most}, 1)
    for cents in (0, -5, True, 2.0):
        assert refused(payments.capture, "b", one, cents, 1)
    payments.capture("b", one, {most}, 1)
    for cents in (0, -5, True, 2.0):
        assert refused(payments.refund, "c", one, cents)


def test_what_is_not_there_is_refused(payments):
    assert refused(payments.capture, "a", "none", 1, 1) and refused(payments.refund, "a", "none", 1)
    assert refused(payments.balance, "none") and refused(payments.authorise, "", 100, 1)


def test_threads_take_nothing_twice(payments):
    for place in range(20):
        one = payments.authorise(f"a{{place}}", 1000, 1)
        results = []

        def take(key):
            try:
                results.append(payments.capture(key, one, 1000, 1))
            except PaymentError:
                results.append(0)

        threads = [threading.Thread(target=take, args=(f"k{{place}}-{{n % 4}}",)) for n in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert payments.balance(one) == 1000 and results.count(1000) == 2
"""
