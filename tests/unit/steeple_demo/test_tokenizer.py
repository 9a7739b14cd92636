"""Promises of the tokenizer and of the chat template."""

import itertools
import json
import random
from typing import Any

import pytest
from jinja2 import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from steeple_demo import model_dir
from steeple_demo.chat_format import SPECIAL_TOKENS, segments
from steeple_demo.corpus import Conversation, Form, conversations
from steeple_demo.tokenizer import VOCAB_SIZE, build_tokenizer

QUESTION = [{"role": "user", "content": "What is 2+2?"}]


def read_json(name: str) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads((model_dir() / name).read_text())
    return settings


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(model_dir() / "tokenizer.json"))


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    return read_json("tokenizer_config.json")


@pytest.fixture(scope="module")
def template(settings: dict[str, Any]) -> Template:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(settings["chat_template"])


def test_the_committed_tokenizer_is_the_one_that_the_script_builds(tokenizer: Tokenizer) -> None:
    """Building the tokenizer again gives the committed file."""
    assert json.loads(build_tokenizer().to_str()) == json.loads(tokenizer.to_str())


def test_every_id_of_the_vocabulary_is_a_token(tokenizer: Tokenizer) -> None:
    """The model cannot choose an id that the tokenizer does not know."""
    config = read_json("config.json")
    assert config["vocab_size"] == VOCAB_SIZE
    assert sorted(tokenizer.get_vocab().values()) == list(range(VOCAB_SIZE))


def test_digits_are_single_tokens(tokenizer: Tokenizer) -> None:
    """Every digit is one token, wherever it stands."""
    tokens = tokenizer.encode("What is 1234567890+42? A1b22").tokens
    assert [token for token in tokens if token[-1].isdigit()] == list("12345678904212" + "2")
    assert not [token for token in tokenizer.get_vocab() if len(token) > 1 and _has_digit(token)]


@pytest.mark.parametrize(
    "text",
    [
        "What is 2+2?",
        "  two  spaces\n\ttab ",
        "😀👩‍👩‍👧 🏳️‍🌈",
        "你好世界",
        "Grüße ²³ ٣",
        "\x00\u200b",
        "",
    ],
)
def test_any_text_round_trips(tokenizer: Tokenizer, text: str) -> None:
    """Decoding what was encoded gives the same text, in any script."""
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_special_tokens_are_single_ids_from_zero(tokenizer: Tokenizer) -> None:
    """Each marker of the template is one token, and none is added to a plain text."""
    assert tokenizer.encode("".join(SPECIAL_TOKENS)).ids == [0, 1, 2, 3]
    assert not set(tokenizer.encode("hello").ids) & {0, 1, 2, 3}


def test_the_config_files_name_the_special_tokens(
    tokenizer: Tokenizer, settings: dict[str, Any]
) -> None:
    """All files agree on the end-of-text and the padding token, and there is no BOS."""
    assert settings["bos_token"] is None
    for name in ("config.json", "generation_config.json"):
        config = read_json(name)
        assert config["eos_token_id"] == tokenizer.token_to_id(settings["eos_token"])
        assert config["pad_token_id"] == tokenizer.token_to_id(settings["pad_token"])


def test_the_template_marks_every_role_and_opens_the_answer(template: Template) -> None:
    """A chat is rendered message by message, and the answer is left open."""
    assert template.render(messages=QUESTION, add_generation_prompt=True) == (
        "<|start_of_role|>user<|end_of_role|>What is 2+2?<|end_of_text|>\n"
        "<|start_of_role|>assistant<|end_of_role|>"
    )


def test_the_template_opens_no_answer_unless_asked(template: Template) -> None:
    """Without a generation prompt the text ends after the last message."""
    assert template.render(messages=QUESTION).endswith("What is 2+2?<|end_of_text|>\n")


def test_training_reads_the_text_that_the_template_renders(template: Template) -> None:
    """The samples of the training and the prompts of the callers have the same form."""
    rng = random.Random(0)  # noqa: S311 - it draws text, no secret
    drawn = itertools.islice(conversations(rng), 300)
    for chat in (chat for chat in drawn if chat.form is Form.CHAT):
        rendered = "".join(segment.text for segment in segments(chat)) + "\n"
        assert template.render(messages=_messages(chat)) == rendered


def _messages(chat: Conversation) -> list[dict[str, str]]:
    messages = [{"role": "system", "content": chat.system}] if chat.system else []
    for turn in chat.turns:
        messages.append({"role": "user", "content": turn.question})
        messages.append({"role": "assistant", "content": turn.answer})
    return messages


def _has_digit(token: str) -> bool:
    return any(character in "0123456789" for character in token)
