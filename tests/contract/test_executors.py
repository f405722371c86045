"""Every executor passes the same suite."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from overnight.app.child import Targets
from overnight.base.ports import Executor
from overnight.executors import process
from overnight.executors.command import CommandExecutor
from overnight.executors.inline import InlineExecutor
from overnight.executors.process import ProcessExecutor
from overnight.executors.thread import ThreadExecutor
from overnight.testing import behaviours
from overnight.testing.executors import ExecutorConformance, new_order


class TestInline(ExecutorConformance):
    blocking = True
    captures_output = False
    has_children = False

    def build(self) -> Executor:
        return InlineExecutor(Targets(None).resolve_target)


class TestThread(ExecutorConformance):
    captures_output = False
    has_children = False

    def build(self) -> Executor:
        return ThreadExecutor(Targets(None).resolve_target, 4)


class TestProcess(ExecutorConformance):
    has_heartbeat = True

    def build(self) -> Executor:
        return ProcessExecutor(os.environ)


class TestProcessOneOrderPerChild(ExecutorConformance):
    @pytest.fixture(autouse=True)
    def one_order(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(process, "MAX_ORDERS", 1)

    def build(self) -> Executor:
        return ProcessExecutor(os.environ)


class TestCommand(ExecutorConformance):
    def build(self) -> Executor:
        return CommandExecutor(os.environ)

    def order(self, folder: Path, behaviour: str, **args):
        return replace(new_order(folder), executor="command", argv=tuple(behaviours.command(behaviour, **args)))
