"""Promises of the generated training text."""

import random
from itertools import islice

import pytest

from steeple_demo.corpus import (
    GREETINGS,
    MAX_TOTAL,
    MIN_TOTAL,
    PHRASINGS,
    Conversation,
    Form,
    Operation,
    Phrasing,
    Problem,
    all_problems,
    conversations,
    equations,
    follow_up_chat,
    is_held_out,
    vary,
)

NUM_DRAWN = 3000


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - it draws text, no secret


def drawn(seed: int, num: int = NUM_DRAWN) -> list[Conversation]:
    return list(islice(conversations(seeded(seed)), num))


def test_the_same_seed_draws_the_same_conversations() -> None:
    """A generator with the same seed always tells the same conversations."""
    assert drawn(1, 300) == drawn(1, 300)
    assert drawn(1, 300) != drawn(2, 300)


def test_training_never_computes_a_held_out_problem() -> None:
    """No turn of a training conversation, follow-ups included, computes a held-out problem."""
    shown = drawn(0) + list(islice(equations(seeded(0)), NUM_DRAWN))
    problems = [turn.problem for chat in shown for turn in chat.turns if turn.problem]
    assert len(problems) > 2 * NUM_DRAWN
    assert not any(is_held_out(problem) for problem in problems)


def test_about_a_tenth_of_the_problems_is_held_out() -> None:
    """The split keeps about 10 % of all problems, and some one-digit ones, from training."""
    held_out = [problem for problem in all_problems() if is_held_out(problem)]
    assert len(held_out) == pytest.approx(2000, rel=0.05)
    assert {problem.num_digits for problem in held_out} == {1, 2}


def test_a_pair_and_its_mirror_image_are_held_out_together() -> None:
    """The split looks at unordered pairs, so a sum cannot leak through its mirror image."""
    for problem in all_problems():
        mirrored = Problem(left=problem.right, operation=problem.operation, right=problem.left)
        assert is_held_out(problem) == is_held_out(mirrored)


def test_every_answer_is_the_result_of_its_question() -> None:
    """The numbers in a question, and the total before a follow-up, give its answer."""
    for chat in drawn(3):
        for turn in chat.turns:
            if turn.problem is None:
                assert turn.answer in GREETINGS.values()
                continue
            assert turn.answer == str(turn.problem.answer)
            assert str(turn.problem.right) in turn.question


@pytest.mark.parametrize("phrasing", PHRASINGS, ids=lambda phrasing: phrasing.add)
def test_every_phrasing_names_both_numbers_and_the_operation(phrasing: Phrasing) -> None:
    """A sum and a difference of the same numbers are never asked in the same words."""
    questions = [
        phrasing.ask(Problem(left=12, operation=operation, right=34)) for operation in Operation
    ]
    assert all("12" in question and "34" in question for question in questions)
    assert questions[0] != questions[1]


def test_a_follow_up_starts_from_the_total_before_it() -> None:
    """The left number of each follow-up is the answer of the turn before, inside the range."""
    rng = seeded(4)
    for _ in range(500):
        chat = follow_up_chat(rng, num_follow_ups=3, is_allowed=lambda _: True)
        problems = [turn.problem for turn in chat.turns if turn.problem]
        assert len(problems) == 4
        assert [problem.left for problem in problems[1:]] == [
            problem.answer for problem in problems[:-1]
        ]
        assert all(MIN_TOTAL <= problem.answer <= MAX_TOTAL for problem in problems)


def test_raw_prompts_have_one_turn_and_no_system_message() -> None:
    """A raw sample is nothing but one question and its answer."""
    raw = [chat for chat in drawn(5) if chat.form is Form.RAW]
    assert raw
    assert all(len(chat.turns) == 1 and chat.system is None for chat in raw)


def test_no_raw_prompt_ends_in_a_digit() -> None:
    """A raw prompt ends with a mark, so its last number cannot run on into the answer."""
    raw = [chat.turns[0].question for chat in drawn(5) if chat.form is Form.RAW]
    assert not any(question[-1].isdigit() for question in raw)


def test_careless_typing_keeps_the_numbers() -> None:
    """Variation touches the first letter and the final mark only."""
    rng = seeded(6)
    typed = {vary("What is 12 + 34?", rng, form=Form.CHAT) for _ in range(100)}
    assert typed == {
        "What is 12 + 34?",
        "what is 12 + 34?",
        "What is 12 + 34",
        "what is 12 + 34",
    }
