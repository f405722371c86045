"""Questions that flows ask people, and their answers: the one mechanism for every approval."""

import json

import sqlalchemy as sa

from overnight.base.errors import InvalidTransition, UnknownName, UserMistake
from overnight.base.ids import RunId
from overnight.db.writer import Tx
from overnight.engine import machine, moves, store
from overnight.engine.book import Book
from overnight.engine.model import Question
from overnight.engine.submit import check_text
from overnight.engine.tables import questions


def ask(tx: Tx, run_id: RunId, name: str, prompt: str, choices: tuple[str, ...]) -> int:
    """Put a question and return its id.

    Raises:
        UserMistake: there is nothing to choose, or the texts cannot be stored.
    """
    check_text(f"question {name!r}: prompt", prompt)
    for choice in choices:
        check_text(f"question {name!r}: choices", choice)
    if len(set(choices)) < 2:
        raise UserMistake(f"question {name!r}: choices: {choices!r} leaves nothing to choose; give at least two")
    [question_id] = tx.dialect.allocate(tx.connection, questions, 1)
    tx.connection.execute(
        sa.insert(questions).values(
            question_id=question_id,
            run_id=run_id,
            name=name,
            prompt=prompt,
            choices=json.dumps(list(choices)),
            asked_us=tx.now_us,
        )
    )
    tx.emit({"run": run_id, "event": "asked", "question": question_id, "name": name})
    return question_id


def answer(tx: Tx, book: Book, question_id: int, choice: str, by: str) -> None:
    """Answer a question, once, and wake the flow that asked it.

    Raises:
        UnknownName: there is no such question.
        InvalidTransition: it is answered already.
        UserMistake: the choice is not one of those that were given, or the name `by` cannot be stored.
    """
    check_text("by", by)
    row = tx.connection.execute(
        sa.select(questions).where(questions.c.question_id == question_id).with_for_update()
    ).fetchone()
    if row is None:
        raise UnknownName(f"there is no question {question_id}")
    question = _question(row)
    if question.answer is not None:
        raise InvalidTransition(f"question {question_id} was answered {question.answer!r} by {question.answered_by}")
    if choice not in question.choices:
        allowed = ", ".join(question.choices)
        raise UserMistake(f"question {question_id}: {choice!r} is not one of the choices ({allowed})")
    tx.connection.execute(
        sa.update(questions)
        .values(answer=choice, answered_us=tx.now_us, answered_by=by)
        .where(questions.c.question_id == question_id)
    )
    tx.emit({"run": question.run_id, "event": "answered", "question": question_id, "answer": choice})
    run = store.get_for_update(tx, question.run_id)
    if run is not None and run.parked and run.waiting_for == {"question": question_id}:
        moves.move(tx, book, [(run, machine.Woken())])


def answer_of(connection: sa.Connection, question_id: int) -> str | None:
    """Return the answer, or None while the question is open."""
    return connection.execute(
        sa.select(questions.c.answer).where(questions.c.question_id == question_id)
    ).scalar_one_or_none()


def open_questions(connection: sa.Connection) -> list[Question]:
    """Return the questions that wait for an answer, oldest first; those of runs that ended are left out."""
    found = connection.execute(
        sa.select(questions).where(questions.c.answer.is_(None)).order_by(questions.c.question_id)
    ).fetchall()
    return [
        _question(row)
        for row in found
        if (run := store.get(connection, row.run_id)) is not None and not run.state.final
    ]


def _question(row: sa.Row[tuple[object, ...]]) -> Question:
    values = dict(row._mapping)
    values["choices"] = tuple(json.loads(values["choices"]))
    return Question(**values)
