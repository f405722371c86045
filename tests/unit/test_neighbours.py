"""A worker notices that another one of its host is gone, by its lock file alone."""

import os

import pytest

from overnight.engine.neighbours import Neighbours
from overnight.engine.recovery import Presence, WorkerRef


@pytest.fixture
def workers(tmp_path):
    """Makes workers; those that live at the end are ended."""
    made = []

    def make(name, folder="workers"):
        made.append(Presence(tmp_path / folder / f"{name}.lock"))
        return made[-1]

    yield make
    for presence in made:
        if presence.path.exists():
            presence.release()


def die(presence):
    """What the kernel does for a dead process: the file stays, its lock is free."""
    os.close(presence._handle)
    presence._handle = os.open(os.devnull, os.O_RDONLY)


def ref(presence):
    return WorkerRef(worker_id="w", host="here", pid=1, started=0.0, lock_path=str(presence.path))


def test_the_death_of_a_worker_that_came_later_is_noticed_once(workers):
    neighbours = Neighbours(workers("own").path)
    assert not neighbours.anyone_gone()
    other = workers("other")
    assert not neighbours.anyone_gone()
    die(other)
    assert neighbours.anyone_gone()
    assert not neighbours.anyone_gone()


def test_a_worker_that_leaves_takes_its_file_along_and_is_noticed(workers):
    neighbours, other = Neighbours(workers("own").path), workers("other")
    assert not neighbours.anyone_gone()
    other.release()
    assert neighbours.anyone_gone()


def test_a_worker_with_a_folder_of_its_own_is_known_from_the_database(workers):
    neighbours, other = Neighbours(workers("own").path), workers("other", folder="elsewhere")
    assert neighbours.lives(ref(other))
    assert not neighbours.anyone_gone()
    die(other)
    assert neighbours.anyone_gone()
    assert not neighbours.lives(ref(other))
    assert not neighbours.anyone_gone()


def test_files_of_workers_that_died_long_ago_are_no_news(workers):
    other = workers("other")
    die(other)
    neighbours = Neighbours(workers("own").path)
    assert not neighbours.anyone_gone()
