"""Prompts from a file: one JSON object per line, a text or a conversation."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from steeple_cli.benching.prompts import Prompt
from steeple_cli.planning.lengths import MAX_LENGTH
from steeple_client import Message
from steeple_rpc.files import read_text
from steeple_rpc.refused import SettingRefused

MAX_FILE_BYTES = 1 << 28


class _Turn(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Literal["system", "user", "assistant"]
    content: str


class PromptLine(BaseModel):
    """One line of the file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str | None = None
    messages: Annotated[tuple[_Turn, ...], Field(min_length=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=MAX_LENGTH)] | None = None
    """Of the answer; None = drawn."""

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.text is None) == (self.messages is None):
            raise ValueError("a line has either text or messages")
        return self

    @property
    def prompt(self) -> Prompt:
        """What is sent."""
        turns = tuple(Message(turn.role, turn.content) for turn in self.messages or ())
        return turns or self.text or ""


def read_prompts(path: Path) -> list[tuple[Prompt, int | None]]:
    """The prompts of a file with the lengths of their answers, where they are given.

    Raises:
        SettingRefused: no such file, a line that is no prompt, or no prompt at all.
    """
    try:
        text = read_text(path, MAX_FILE_BYTES)
    except SettingRefused as error:
        raise SettingRefused(f"--prompts {path} cannot be read: {error}") from None
    lines = list(_parsed(path, text))
    if not lines:
        raise SettingRefused(f"--prompts {path} holds no prompt")
    return [(line.prompt, line.max_tokens) for line in lines]


def _parsed(path: Path, text: str) -> Iterator[PromptLine]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield PromptLine.model_validate_json(line)
            except ValidationError as error:
                raise SettingRefused(f"{path} line {number}: {_first(error)}") from None


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, and where; never the prompt."""
    found = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in found["loc"])
    reason = found["msg"].removeprefix("Value error, ")
    return f"{where}: {reason}" if where else reason
