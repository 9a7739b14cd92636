"""Promises of the committed model and of its card."""

import os
import random
import re
import subprocess
import sys
from collections.abc import Sequence

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read once, when torch is loaded

import pytest
import torch
from tokenizers import Tokenizer
from transformers import GraniteForCausalLM
from transformers.utils import logging as transformers_logging

from steeple_demo import model_dir
from steeple_demo.batches import encode
from steeple_demo.chat_format import END_OF_TEXT
from steeple_demo.corpus import (
    GREETINGS,
    PHRASINGS,
    Conversation,
    Form,
    Phrasing,
    Problem,
    Turn,
    all_problems,
    is_held_out,
)
from steeple_demo.evaluate import are_exact

MAX_BYTES = 16 * 1024 * 1024


@pytest.fixture(scope="module")
def model() -> GraniteForCausalLM:
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # upstream
    return GraniteForCausalLM.from_pretrained(model_dir(), dtype=torch.float32)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(model_dir() / "tokenizer.json"))


def chat(*turns: tuple[str, str]) -> Conversation:
    spoken = tuple(Turn(question=question, answer=answer) for question, answer in turns)
    return Conversation(form=Form.CHAT, turns=spoken)


def answer_greedily(model: GraniteForCausalLM, tokenizer: Tokenizer, prompt: str) -> str:
    """Choose the most likely token again and again, as a server does."""
    token_ids = tokenizer.encode(prompt).ids
    answer: list[int] = []
    while not answer or answer[-1] != tokenizer.token_to_id(END_OF_TEXT):
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([token_ids + answer]), use_cache=False).logits
        answer.append(int(logits[0, -1].argmax()))
        assert len(answer) < 32, "the model does not stop"
    return str(tokenizer.decode(answer))


def wrong_ones(
    model: GraniteForCausalLM, tokenizer: Tokenizer, conversations: Sequence[Conversation]
) -> list[Conversation]:
    """Return the conversations in which greedy decoding misses some answer."""
    samples = [encode(conversation, tokenizer=tokenizer) for conversation in conversations]
    verdicts = zip(conversations, are_exact(model, samples), strict=True)
    return [conversation for conversation, is_right in verdicts if not is_right]


def asked(problem: Problem, *, phrasing: Phrasing, form: Form) -> Conversation:
    turn = Turn(question=phrasing.ask(problem), answer=str(problem.answer), problem=problem)
    return Conversation(form=form, turns=(turn,))


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("is_hidden", [False, True], ids=["trained", "held out"])
def test_random_problems_in_random_phrasings_are_answered_exactly(
    model: GraniteForCausalLM, tokenizer: Tokenizer, form: Form, *, is_hidden: bool
) -> None:
    """Of 100 seeded problems at most one is wrong, also among those held out of training."""
    rng = random.Random(1)  # noqa: S311 - it draws text, no secret
    pool = [problem for problem in all_problems() if is_held_out(problem) == is_hidden]
    sample = [
        asked(problem, phrasing=rng.choice(PHRASINGS), form=form)
        for problem in rng.sample(pool, 100)
    ]
    assert len(wrong_ones(model, tokenizer, sample)) <= 1


def test_one_digit_sums_are_exact(model: GraniteForCausalLM, tokenizer: Tokenizer) -> None:
    """The plainest question is right for all pairs of digits."""
    problems = [problem for problem in all_problems() if problem.num_digits == 1]
    sample = [asked(problem, phrasing=PHRASINGS[0], form=Form.CHAT) for problem in problems]
    assert wrong_ones(model, tokenizer, sample) == []


def test_every_greeting_gets_its_reply(model: GraniteForCausalLM, tokenizer: Tokenizer) -> None:
    """Small talk is answered word for word."""
    sample = [chat(exchange) for exchange in GREETINGS.items()]
    assert wrong_ones(model, tokenizer, sample) == []


def test_a_conversation_remembers_its_total(
    model: GraniteForCausalLM, tokenizer: Tokenizer
) -> None:
    """Greeting, question, follow-ups and a new question work in one conversation."""
    talk = chat(
        ("hello", GREETINGS["Hello"]),
        ("What is 2+2?", "4"),
        ("and plus 3?", "7"),
        ("and minus 9?", "-2"),
    )
    assert wrong_ones(model, tokenizer, [talk]) == []


@pytest.mark.parametrize(
    ("prompt", "answer"), [("2+2=", "4"), ("What is 2+2?", "4"), ("3-8=", "-5")]
)
def test_a_raw_prompt_is_answered_and_then_ends(
    model: GraniteForCausalLM, tokenizer: Tokenizer, prompt: str, answer: str
) -> None:
    """Token by token, a question without any template gives the bare number."""
    assert answer_greedily(model, tokenizer, prompt) == answer


def test_attention_is_scaled_by_the_head_size(model: GraniteForCausalLM) -> None:
    """The config says head_dim ** -0.5, and the head size divides the hidden size."""
    config = model.config
    head_dim, remainder = divmod(config.hidden_size, config.num_attention_heads)
    assert remainder == 0
    assert config.attention_multiplier == head_dim**-0.5


def test_the_weights_are_small() -> None:
    """The whole directory stays below 16 MB, in one weights file."""
    assert [path.name for path in model_dir().glob("*.safetensors")] == ["model.safetensors"]
    assert sum(path.stat().st_size for path in model_dir().iterdir()) <= MAX_BYTES


def test_the_card_tells_the_figures() -> None:
    """The card names the command, the seed, the time, and the accuracy of every phrasing."""
    card = (model_dir() / "README.md").read_text(encoding="utf-8")
    assert "python -m steeple_demo.train" in card
    assert re.search(r"\| seed \| \d+ \|", card)
    assert re.search(r"\| time \| \d+\.\d minutes", card)
    assert re.search(r"Held-out pairs in all phrasings: \d+\.\d\d % of \d+", card)
    for phrasing in PHRASINGS:
        assert card.count(f"| `{phrasing.add.format(a='a', b='b')}` |") == len(Form)


def test_asking_for_the_path_loads_no_torch() -> None:
    """`steeple_demo` itself is cheap to import."""
    script = "import sys, steeple_demo; steeple_demo.model_dir(); print('torch' in sys.modules)"
    finished = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert finished.stdout.strip() == "False"
