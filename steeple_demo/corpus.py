"""Generate the conversations that the demo model learns.

Pure: the same seeded generator always gives the same conversations.
No generated conversation computes a held-out problem, in any of its turns.
"""

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Final, assert_never

__all__ = [
    "EQUATIONS",
    "FOLLOW_UPS",
    "GREETINGS",
    "MAX_OPERAND",
    "MAX_TOTAL",
    "MIN_TOTAL",
    "PHRASINGS",
    "Conversation",
    "Form",
    "Operation",
    "Phrasing",
    "Problem",
    "Turn",
    "all_problems",
    "conversations",
    "equations",
    "follow_up_chat",
    "hard_cases",
    "is_held_out",
    "vary",
]

MAX_OPERAND: Final = 99
MIN_TOTAL: Final = -99
MAX_TOTAL: Final = 198


class Operation(Enum):
    """What to do with the two numbers; the value is its symbol."""

    ADD = "+"
    SUBTRACT = "-"


class Form(Enum):
    """How the text reaches the model: through the chat template, or as it is."""

    CHAT = "chat"
    RAW = "raw"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One sum or difference; `left` is negative or above 99 only in a follow-up."""

    left: int
    operation: Operation
    right: int

    @property
    def answer(self) -> int:
        """The exact result."""
        match self.operation:
            case Operation.ADD:
                return self.left + self.right
            case Operation.SUBTRACT:
                return self.left - self.right
            case _:
                assert_never(self.operation)

    @property
    def num_digits(self) -> int:
        """1 when both numbers have one digit, else 2."""
        return 1 if max(self.left, self.right) <= 9 else 2  # noqa: PLR2004 - the largest digit


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrasing:
    """One way to ask for a result; `{a}` and `{b}` stand for the numbers."""

    add: str
    subtract: str

    def ask(self, problem: Problem) -> str:
        """Write the problem as a question in this phrasing."""
        pattern = self.add if problem.operation is Operation.ADD else self.subtract
        return pattern.format(a=problem.left, b=problem.right)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A question and the answer to learn; small talk computes no problem."""

    question: str
    answer: str
    problem: Problem | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """What one training sample says; a raw one has a single turn and no system message."""

    form: Form
    turns: tuple[Turn, ...]
    system: str | None = None


def _symbols(pattern: str) -> Phrasing:
    return Phrasing(add=pattern.replace("@", "+"), subtract=pattern.replace("@", "-"))


def _words(pattern: str) -> Phrasing:
    return Phrasing(add=pattern.replace("@", "plus"), subtract=pattern.replace("@", "minus"))


EQUATIONS: Final = (
    _symbols("{a}@{b}="),
    _symbols("What is {a}@{b}?"),
)
"""The phrasings that training starts with: next to nothing to read but numbers."""

PHRASINGS: Final = (
    *EQUATIONS,
    _symbols("What is {a} @ {b}?"),
    _words("What is {a} @ {b}?"),
    _words("How much is {a} @ {b}?"),
    _symbols("Compute {a} @ {b}."),
    Phrasing(add="Add {a} and {b}.", subtract="Subtract {b} from {a}."),
)
"""Every phrasing ends with a mark: as raw text, a number at the end might still go on."""

FOLLOW_UPS: Final = (
    _words("and @ {b}?"),
    _words("@ {b}?"),
    _symbols("and @ {b}?"),
    Phrasing(add="now add {b}.", subtract="now subtract {b}."),
)

_INVITATION: Final = "Ask me to add or subtract two numbers."
GREETINGS: Final = {
    "Hello": f"Hello! {_INVITATION}",
    "Hello!": f"Hello! {_INVITATION}",
    "Hello there": f"Hello! {_INVITATION}",
    "Hello, how are you?": f"Hello! {_INVITATION}",
    "Hi": f"Hello! {_INVITATION}",
    "Hi!": f"Hello! {_INVITATION}",
    "Hi there!": f"Hello! {_INVITATION}",
    "Hey": f"Hello! {_INVITATION}",
    "Good morning": f"Good morning! {_INVITATION}",
    "Good evening": f"Good evening! {_INVITATION}",
    "Who are you?": f"I am a small demo model. {_INVITATION}",
    "What can you do?": f"I am a small demo model. {_INVITATION}",
    "Help": _INVITATION,
    "Thanks": "You are welcome!",
    "Thank you!": "You are welcome!",
}
"""Every small-talk question with its one reply."""

_SYSTEMS: Final = (
    "You are a helpful assistant.",
    "You are a calculator.",
    "You are a careful assistant. Answer with the number only.",
    "Answer briefly.",
    "Be short and exact.",
    "You are the demo model of a server. You add and subtract numbers for your users.",
)

_RAW_SHARE: Final = 0.5
_SYSTEM_SHARE: Final = 0.25
_GREETING_SHARE: Final = 0.06
_FOLLOW_UP_SHARE: Final = 0.7
_ONE_DIGIT_SHARE: Final = 0.15
_SMALL_STEP_SHARE: Final = 0.3
_VARIED_SHARE: Final = 0.2
_COMPACT_SHARE: Final = 0.5
_NUM_TURNS_WEIGHTS: Final = {1: 60, 2: 25, 3: 15}


@cache
def is_held_out(problem: Problem) -> bool:
    """Tell whether training must never compute this problem; true for about 10 %.

    The rule is a hash of the operation and the unordered pair of numbers, so `a+b` and
    `b+a` (or `a-b` and `b-a`) are always on the same side of the split. It does not depend
    on any seed. Problems with a number outside 0 to 99 are never held out.
    """
    low, high = sorted((problem.left, problem.right))
    if low < 0 or high > MAX_OPERAND:
        return False
    digest = hashlib.sha256(f"{low}{problem.operation.value}{high}".encode()).digest()
    return int.from_bytes(digest[:4]) % 10 == 0


def all_problems() -> Iterator[Problem]:
    """Yield both operations on all pairs of numbers from 0 to 99, held out or not."""
    for operation in Operation:
        for left in range(MAX_OPERAND + 1):
            for right in range(MAX_OPERAND + 1):
                yield Problem(left=left, operation=operation, right=right)


def equations(rng: random.Random) -> Iterator[Conversation]:
    """Yield raw equations without end, the same problems in the plainest form."""
    while True:
        problem = _draw_problem(rng, is_allowed=_is_trained)
        question = rng.choice(EQUATIONS).ask(problem)
        turn = Turn(question=question, answer=str(problem.answer), problem=problem)
        yield Conversation(form=Form.RAW, turns=(turn,))


def conversations(rng: random.Random) -> Iterator[Conversation]:
    """Yield training conversations without end, drawn from `rng` alone."""
    while True:
        if rng.random() < _RAW_SHARE:
            yield Conversation(form=Form.RAW, turns=(_opening_turn(rng, form=Form.RAW),))
        else:
            yield _chat(rng)


def hard_cases(rng: random.Random) -> Iterator[Conversation]:
    """Yield what plain drawing shows too rarely: unlike numbers without spaces, and follow-ups."""
    while True:
        if rng.random() < _COMPACT_SHARE:
            yield _compact(rng)
        elif rng.random() < _FOLLOW_UP_SHARE:
            yield follow_up_chat(rng, num_follow_ups=rng.randint(1, 2), is_allowed=_is_trained)
        else:
            yield _chat(rng)


def _compact(rng: random.Random) -> Conversation:
    """An equation in which each number has one digit or two by itself: `30+9` is the hard one."""
    while True:
        left, right = (rng.randint(0, rng.choice((9, MAX_OPERAND))) for _ in range(2))
        problem = Problem(left=left, operation=rng.choice(list(Operation)), right=right)
        if _is_trained(problem):
            break
    form = rng.choice(list(Form))
    turn = _arithmetic_turn(rng, problem=problem, phrasing=rng.choice(EQUATIONS), form=form)
    return Conversation(form=form, turns=(turn,))


def follow_up_chat(
    rng: random.Random, *, num_follow_ups: int, is_allowed: Callable[[Problem], bool]
) -> Conversation:
    """Draw one question with follow-ups; it computes allowed problems only."""
    problem = _draw_problem(rng, is_allowed=is_allowed)
    turns = [_arithmetic_turn(rng, problem=problem, phrasing=rng.choice(PHRASINGS))]
    for _ in range(num_follow_ups):
        problem = _draw_step(rng, total=problem.answer, is_allowed=is_allowed)
        turns.append(_arithmetic_turn(rng, problem=problem, phrasing=rng.choice(FOLLOW_UPS)))
    return Conversation(form=Form.CHAT, turns=tuple(turns))


def vary(question: str, rng: random.Random, *, form: Form) -> str:
    """Type the question as hurried users do: other case, and in a chat without its final mark."""
    if rng.random() < _VARIED_SHARE:
        question = question[0].swapcase() + question[1:]
    if form is Form.CHAT and rng.random() < _VARIED_SHARE:
        question = question.rstrip("?.!=")
    return question


def _chat(rng: random.Random) -> Conversation:
    system = rng.choice(_SYSTEMS) if rng.random() < _SYSTEM_SHARE else None
    (num_turns,) = rng.choices(list(_NUM_TURNS_WEIGHTS), list(_NUM_TURNS_WEIGHTS.values()))
    turns = [_opening_turn(rng, form=Form.CHAT)]
    while len(turns) < num_turns:
        turns.append(_next_turn(rng, previous=turns[-1].problem))
    return Conversation(form=Form.CHAT, system=system, turns=tuple(turns))


def _opening_turn(rng: random.Random, *, form: Form) -> Turn:
    if rng.random() < _GREETING_SHARE:
        question, reply = rng.choice(list(GREETINGS.items()))
        return Turn(question=vary(question, rng, form=form), answer=reply)
    problem = _draw_problem(rng, is_allowed=_is_trained)
    return _arithmetic_turn(rng, problem=problem, phrasing=rng.choice(PHRASINGS), form=form)


def _next_turn(rng: random.Random, *, previous: Problem | None) -> Turn:
    if previous is None or rng.random() >= _FOLLOW_UP_SHARE:
        return _opening_turn(rng, form=Form.CHAT)
    problem = _draw_step(rng, total=previous.answer, is_allowed=_is_trained)
    return _arithmetic_turn(rng, problem=problem, phrasing=rng.choice(FOLLOW_UPS))


def _arithmetic_turn(
    rng: random.Random, *, problem: Problem, phrasing: Phrasing, form: Form = Form.CHAT
) -> Turn:
    question = vary(phrasing.ask(problem), rng, form=form)
    return Turn(question=question, answer=str(problem.answer), problem=problem)


def _is_trained(problem: Problem) -> bool:
    return not is_held_out(problem)


def _draw_problem(rng: random.Random, *, is_allowed: Callable[[Problem], bool]) -> Problem:
    largest = 9 if rng.random() < _ONE_DIGIT_SHARE else MAX_OPERAND
    while True:
        problem = Problem(
            left=rng.randint(0, largest),
            operation=rng.choice(list(Operation)),
            right=rng.randint(0, largest),
        )
        if is_allowed(problem):
            return problem


def _draw_step(rng: random.Random, *, total: int, is_allowed: Callable[[Problem], bool]) -> Problem:
    largest = 9 if rng.random() < _SMALL_STEP_SHARE else MAX_OPERAND
    while True:
        operation = rng.choice(list(Operation))
        problem = Problem(left=total, operation=operation, right=rng.randint(0, largest))
        if MIN_TOTAL <= problem.answer <= MAX_TOTAL and is_allowed(problem):
            return problem
