"""Sends alerts to people, by Apprise: once for each cause and hour, also over restarts and several daemons."""

import logging
import queue
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import sqlalchemy as sa

from overnight.app import targets
from overnight.app.journal import logfmt
from overnight.app.workplace import Workplace
from overnight.base.config import Config
from overnight.base.errors import ConfigError, MissingExtra, TransientError
from overnight.base.instants import US, iso
from overnight.base.settings import environment
from overnight.base.variables import put_in
from overnight.db.writer import Tx
from overnight.engine import gaps, store
from overnight.engine.model import Run, Standing
from overnight.engine.tables import alerts as told_alerts
from overnight.engine.ticks import Missed
from overnight.reports.alerts import (
    Alert,
    Facts,
    Failure,
    MissedTick,
    Rules,
    Slow,
    alerts,
    holds_back,
    not_told_lately,
)
from overnight.reports.vitals import Vitals as Signs
from overnight.reports.vitals import problems

HOUR_US = 3600 * US
MOST_LOOKED_AT = 200
_log = logging.getLogger("overnight.notify")


class Post(Protocol):
    """Sends one message; blocks while it does."""

    def __call__(self, title: str, text: str, /) -> None:
        """Send it.

        Raises:
            TransientError: not everybody who should know was reached.
        """


def post_of(config: Config) -> Post | None:
    """Return what sends messages; None where nobody is to be told.

    Raises:
        ConfigError: an address cannot be used, or a variable that it names is not set.
        MissingExtra: Apprise is not installed.
    """
    if not config.notify.urls:
        return None
    try:
        import apprise
    except ModuleNotFoundError as error:
        raise MissingExtra("notify.urls needs the extra `notify`: pip install 'overnight[notify]'") from error
    sender = apprise.Apprise()
    for number, template in enumerate(config.notify.urls, start=1):
        # The address itself may hold a secret, so that messages give its place instead.
        if not sender.add(put_in(template, environment(), f"notify.urls: address {number}")):
            raise ConfigError(f"notify.urls: address {number} is none that Apprise knows (https://appriseit.com)")

    def post(title: str, text: str, /) -> None:
        if not sender.notify(title=title, body=text):
            raise TransientError("not every address of notify.urls took the message")

    return post


class Notifier:
    """Collects what happened, decides what is worth telling, and sends it from a thread of its own.

    `tell` is for the writer's thread, `look` for the rounds; neither waits for a server.
    """

    def __init__(self, project: Workplace) -> None:
        self._project = project
        self._post = post_of(project.config)
        self._failed: deque[int] = deque(maxlen=MOST_LOOKED_AT)
        self._completed: deque[int] = deque(maxlen=MOST_LOOKED_AT)
        self._ended: deque[tuple[int, bool]] = deque(maxlen=100_000)
        self._seen_us = project.clock.now_us()
        self._outbox: queue.SimpleQueue[Alert | None] = queue.SimpleQueue()
        self._sending: set[str] = set()
        self._unsent: deque[Alert] = deque(maxlen=MOST_LOOKED_AT)
        self._thread = threading.Thread(target=self._send_all, name="overnight-notify", daemon=True)
        self._thread.start()

    def take_up(self, config: Config) -> None:
        """Use other addresses from now on; wrong ones are told, and the old ones stay."""
        try:
            self._post = post_of(config)
        except (ConfigError, MissingExtra) as error:
            _log.error("event=notify_refused %s", logfmt({"error": str(error)}))

    def tell(self, events: Sequence[Mapping[str, Any]]) -> None:  # Any: see db.stream.Event
        """Note how runs ended."""
        now_us = self._project.clock.now_us()
        for event in events:
            if event["event"] in ("completed", "failed"):
                self._ended.append((now_us, event["event"] == "failed"))
            if event["event"] == "failed":
                self._failed.append(event["run"])
            elif event["event"] == "completed" and self._target_s(event["task"]) is not None:
                self._completed.append(event["run"])

    def look(self, signs: Signs, standing: Standing) -> None:
        """Send what is worth telling and was not told within the last hour."""
        if self._post is None:
            self._failed.clear()
            self._completed.clear()
            return
        again = [self._unsent.popleft() for _ in range(len(self._unsent))]
        found = [*again, *alerts(self._facts(signs, standing), self._rules())]
        if not found:
            return
        now_us = signs.at_us
        with self._project.database.read() as connection:
            rows = connection.execute(sa.select(told_alerts.c.cause, told_alerts.c.told_us))
            told = {row.cause: row.told_us for row in rows}
        for alert in not_told_lately(found, told, now_us):
            if alert.cause not in self._sending:
                self._sending.add(alert.cause)
                self._outbox.put(alert)

    def close(self) -> None:
        """Send what is in the outbox, within a few seconds, and end."""
        self._outbox.put(None)
        self._thread.join(5.0)

    def _rules(self) -> Rules:
        notify = self._project.config.notify
        return Rules(
            failed=notify.failed,
            missed=notify.missed,
            failure_rate=notify.failure_rate,
            queue_age_s=notify.queue_age_s,
            targets=notify.targets,
        )

    def _facts(self, signs: Signs, standing: Standing) -> Facts:
        since_us, self._seen_us = self._seen_us, signs.at_us
        failed = [self._failed.popleft() for _ in range(len(self._failed))]
        completed = [self._completed.popleft() for _ in range(len(self._completed))]
        while self._ended and self._ended[0][0] < signs.at_us - HOUR_US:
            self._ended.popleft()
        ended = list(self._ended)
        with self._project.database.read() as connection:
            runs = store.by_ids(connection, failed)
            done = store.by_ids(connection, completed)
            missed = gaps.spans(connection, since_us=since_us, limit=MOST_LOOKED_AT)
        return Facts(
            now_us=signs.at_us,
            failures=[
                Failure(run_id=run.run_id, task_id=run.task_id, why="" if run.error is None else run.error.message)
                for run in runs.values()
            ],
            missed=[
                MissedTick(task_id=span.task_id, count=span.count, until=str(iso(span.last_us)))
                for span in missed
                if span.reason is Missed.LATE
            ],
            ended_last_hour=len(ended),
            failed_last_hour=sum(failed for _, failed in ended),
            queue=standing,
            problems=problems(signs),
            slow=[slow for run in done.values() if (slow := self._slow(run)) is not None],
            produced=targets.standing(self._project),
        )

    def _target_s(self, task_id: str) -> float | None:
        entry = self._project.book.find(task_id)
        return None if entry is None else entry.task.target_s

    def _slow(self, run: Run) -> Slow | None:
        target_s, took_s = self._target_s(run.task_id), (run.active_us + run.earlier_us) / US
        if target_s is None or took_s <= target_s:
            return None
        return Slow(run_id=run.run_id, task_id=run.task_id, took_s=took_s, target_s=target_s)

    def _send_all(self) -> None:
        while (alert := self._outbox.get()) is not None:
            try:
                self._send(alert)
            except Exception as error:  # noqa: BLE001  # the next look tries again; nobody else may suffer from it
                self._unsent.append(alert)
                _log.error("event=alert_not_sent %s", logfmt({"cause": alert.cause, "error": str(error)}))
            finally:
                self._sending.discard(alert.cause)

    def _send(self, alert: Alert) -> None:
        post, name = self._post, self._project.config.name
        if post is None or not self._claim(alert):
            return
        try:
            post(f"Overnight, {name}: {alert.title}", alert.text)
        except BaseException:
            self._unclaim(alert)
            raise
        _log.info("event=alert %s", logfmt({"cause": alert.cause, "text": alert.text}))

    def _claim(self, alert: Alert) -> bool:
        """Note that the cause is told, unless another daemon was faster."""

        def change(tx: Tx) -> bool:
            tx.dialect.serialize(tx.connection, ALERTING)
            query = sa.select(told_alerts.c.told_us).where(told_alerts.c.cause == alert.cause)
            told_us = tx.connection.execute(query).scalar()
            if told_us is not None and holds_back(alert, told_us, tx.now_us):
                return False
            tx.connection.execute(sa.delete(told_alerts).where(told_alerts.c.cause == alert.cause))
            row = {"cause": alert.cause, "told_us": tx.now_us, "text": alert.text}
            tx.connection.execute(sa.insert(told_alerts).values(row))
            return True

        return self._project.database.writer.do(change)

    def _unclaim(self, alert: Alert) -> None:
        def change(tx: Tx) -> None:
            tx.connection.execute(sa.delete(told_alerts).where(told_alerts.c.cause == alert.cause))

        self._project.database.writer.do(change)


ALERTING = 3
"""Number of the lock under which a cause is noted as told once."""
