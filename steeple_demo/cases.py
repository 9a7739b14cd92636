"""List the conversations that the demo model is judged on.

Pure: the cases are always the same ones, in the same order.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, product
from typing import Final

from steeple_demo.corpus import (
    GREETINGS,
    PHRASINGS,
    Conversation,
    Form,
    Problem,
    Turn,
    all_problems,
    conversations,
    follow_up_chat,
    is_held_out,
    vary,
)

__all__ = [
    "HELD_OUT",
    "ONE_DIGIT",
    "PROMPTS",
    "TRAINED",
    "TWO_DIGITS",
    "Bucket",
    "Case",
    "all_cases",
    "phrasing_cases",
]

PROMPTS: Final = {Form.CHAT: "chat prompt", Form.RAW: "raw prompt"}
ONE_DIGIT: Final = "one digit"
TWO_DIGITS: Final = "two digits"
TRAINED: Final = "trained"
HELD_OUT: Final = "held out"

_PROBLEMS: Final = tuple(all_problems())
_NUM_DRAWN: Final = 10_000
_MAX_FOLLOW_UPS: Final = 2
_SEED: Final = 20_000_003
"""Far from the seeds that people train with, so that the conversations are other ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """The place in the accuracy tables where a case is counted."""

    table: str
    row: str
    column: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A conversation to judge."""

    bucket: Bucket
    conversation: Conversation


def all_cases(*, every: int = 1) -> Iterator[Case]:
    """Yield all the cases, or every n-th one of each kind for a quick look."""
    rng = random.Random(_SEED)  # noqa: S311 - it draws text, no secret
    yield from islice(phrasing_cases(), 0, None, every)
    for draw in (_varied_case, _follow_up_case, _mixed_case):
        yield from (draw(rng) for _ in range(0, _NUM_DRAWN, every))
    yield from _small_talk_cases()


def phrasing_cases() -> Iterator[Case]:
    """Yield every problem in every phrasing, both as a chat and as a raw prompt."""
    for form, phrasing, problem in product(Form, PHRASINGS, _PROBLEMS):
        bucket = Bucket(
            table=PROMPTS[form],
            row=f"`{phrasing.add.format(a='a', b='b')}`",
            column=_column(problem),
        )
        yield _single(bucket, form=form, question=phrasing.ask(problem), answer=problem.answer)


def _varied_case(rng: random.Random) -> Case:
    form = rng.choice(list(Form))
    problem = rng.choice(_PROBLEMS)
    question = vary(rng.choice(PHRASINGS).ask(problem), rng, form=form)
    bucket = Bucket(table=PROMPTS[form], row="typed carelessly", column=_column(problem))
    return _single(bucket, form=form, question=question, answer=problem.answer)


def _follow_up_case(rng: random.Random) -> Case:
    num_follow_ups = rng.randint(1, _MAX_FOLLOW_UPS)
    chat = follow_up_chat(rng, num_follow_ups=num_follow_ups, is_allowed=lambda _: True)
    split = HELD_OUT if _computes_held_out(chat) else TRAINED
    bucket = Bucket(table="conversations", row=f"follow-ups: {num_follow_ups}", column=split)
    return Case(bucket=bucket, conversation=chat)


def _mixed_case(rng: random.Random) -> Case:
    chat = next(drawn for drawn in conversations(rng) if len(drawn.turns) > 1)
    bucket = Bucket(table="conversations", row="mixed, as in training", column=TRAINED)
    return Case(bucket=bucket, conversation=chat)


def _small_talk_cases() -> Iterator[Case]:
    for form, (question, reply) in product(Form, GREETINGS.items()):
        bucket = Bucket(table="conversations", row=f"small talk, {form.value}", column=TRAINED)
        yield _single(bucket, form=form, question=question, answer=reply)


def _single(bucket: Bucket, *, form: Form, question: str, answer: object) -> Case:
    turn = Turn(question=question, answer=str(answer))
    return Case(bucket=bucket, conversation=Conversation(form=form, turns=(turn,)))


def _column(problem: Problem) -> str:
    digits = ONE_DIGIT if problem.num_digits == 1 else TWO_DIGITS
    return f"{digits}, {HELD_OUT if is_held_out(problem) else TRAINED}"


def _computes_held_out(conversation: Conversation) -> bool:
    problems = (turn.problem for turn in conversation.turns)
    return any(problem is not None and is_held_out(problem) for problem in problems)
