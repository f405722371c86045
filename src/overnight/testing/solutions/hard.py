"""Right answers to the hard exercises."""

import json
import re
from collections.abc import Mapping

_PAYMENTS = '''"""Payments."""

import threading
from collections.abc import Callable


class PaymentError(Exception):
    """It is refused."""


class _Payment:
    def __init__(self, cents: int, day: int) -> None:
        self.cents, self.day = cents, day
        self.captured, self.refunded = 0, 0


class Payments:
    """Takes each cent once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._payments: dict[str, _Payment] = {{}}
        self._calls: dict[str, tuple[tuple[object, ...], str | int]] = {{}}

    def authorise(self, key: str, cents: int, day: int) -> str:
        """Return the id of a new payment."""

        def act() -> str:
            _check(cents)
            name = f"p{{len(self._payments) + 1}}"
            self._payments[name] = _Payment(cents, day)
            return name

        return str(self._once(key, ("authorise", cents, day), act))

    def capture(self, key: str, payment: str, cents: int, day: int) -> int:
        """Take it, once."""

        def act() -> int:
            one = self._get(payment)
            _check(cents)
            if one.captured or cents > one.cents or day > one.day + {days}:
                raise PaymentError("capture")
            one.captured = cents
            return cents

        return int(self._once(key, ("capture", payment, cents, day), act))

    def refund(self, key: str, payment: str, cents: int) -> int:
        """Give back some of it."""

        def act() -> int:
            one = self._get(payment)
            _check(cents)
            if one.refunded + cents > one.captured:
                raise PaymentError("refund")
            one.refunded += cents
            return one.refunded

        return int(self._once(key, ("refund", payment, cents), act))

    def balance(self, payment: str) -> int:
        """Return what is left."""
        with self._lock:
            one = self._get(payment)
            return one.captured - one.refunded

    def _get(self, payment: str) -> _Payment:
        if payment not in self._payments:
            raise PaymentError("no such payment")
        return self._payments[payment]

    def _once(self, key: str, call: tuple[object, ...], act: Callable[[], str | int]) -> str | int:
        with self._lock:
            if not key:
                raise PaymentError("no key")
            if key in self._calls:
                before, result = self._calls[key]
                if before != call:
                    raise PaymentError("another call had this key")
                return result
            found = act()
            self._calls[key] = call, found
            return found


def _check(cents: object) -> None:
    if not isinstance(cents, int) or isinstance(cents, bool) or not 0 < cents <= {most}:
        raise PaymentError("cents")
'''


def service(facts: Mapping[str, str], files: Mapping[str, str]) -> dict[str, str]:
    """Return the cheapest design."""
    asked = json.loads(files[facts["given"]])
    sizes, services, total = asked["sizes"], [], 0
    for name, load in asked["loads_rps"].items():
        wanted = load * (100 + asked["spare_percent"])
        ways = {size: 1 + max(1, -(-wanted // (100 * one["rps"]))) for size, one in sizes.items()}
        size = min(ways, key=lambda one: ways[one] * sizes[one]["usd"])
        total += ways[size] * sizes[size]["usd"]
        services.append({"name": name, "size": size, "replicas": ways[size], "calls": asked["needs"][name][:1]})
    return {facts["file"]: json.dumps({"services": services, "usd": total}, indent=1)}


def query(facts: Mapping[str, str], files: Mapping[str, str]) -> dict[str, str]:
    """Return the query as it is, with indexes that hold all that it reads."""
    given = files[facts["query"]]
    [thing] = set(re.findall(r"FROM (\w+) t ", given))
    [owner] = re.findall(r"FROM (\w+) o", given)
    indexes = (
        f"CREATE INDEX owner_region ON {owner} (region, name);\n"
        f"CREATE INDEX thing_owner ON {thing} (owner_id, amount, day);\n"
    )
    return {"better.sql": given, "indexes.sql": indexes}


def payment(facts: Mapping[str, str], files: Mapping[str, str]) -> dict[str, str]:
    """Return payments that are taken once."""
    most, days = (facts[key].split()[0] for key in ("most of a payment", "longest authorisation"))
    return {facts["module"]: _PAYMENTS.format(most=most, days=days)}
