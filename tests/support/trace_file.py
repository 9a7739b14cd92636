"""What a file of traces must look like before anything is made of it."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

_MOST = 1 << 20
_Count = Annotated[int, Field(strict=True, ge=0, le=_MOST)]
_Number = Annotated[int, Field(strict=True, ge=1, le=_MOST)]
_Switch = Annotated[bool, Field(strict=True)]
_Seed = Annotated[int, Field(strict=True)] | str


class UnknownTrace(Exception):
    """The file asks for something that cannot be replayed; the message names it."""


class _Request(BaseModel):
    id: str
    prompt_len: _Number
    max_tokens: _Number
    arrival_step: _Count
    prompt_segments: list[tuple[_Seed, _Count, _Count]] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _check_segments(self) -> Self:
        if self.prompt_segments is None:
            return self
        total = sum(max(0, end - first) for _, first, end in self.prompt_segments)
        if total != self.prompt_len:
            raise ValueError(f"prompt_segments hold {total} tokens, not {self.prompt_len}")
        return self


class _Row(BaseModel):
    step: _Count
    tkv: _Count | None = None
    kv_len: _Count | None = None


class _Trace(BaseModel):
    name: str
    config: dict[str, Any]
    requests: list[_Request]
    steps: list[_Row]

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if any(before.step >= row.step for before, row in pairwise(self.steps)):
            raise ValueError("steps are not in order")
        if len({request.id for request in self.requests}) < len(self.requests):
            raise ValueError("two requests have one id")
        return self


class _Mode(BaseModel):
    traces: list[_Trace]


class _File(BaseModel):
    modes: dict[str, _Mode]


class _Shapes(BaseModel):
    shapes: list[tuple[_Number, _Number, _Number]]


class _Bounds(BaseModel):
    max_num_seqs: _Number
    max_model_len: _Number
    chunk_size: _Number = 1
    available_blocks: _Number | None = None
    max_batch_tkv_limit: Annotated[int, Field(strict=True, ge=1)] | None = None
    prefix_caching: _Switch = True
    pausing: _Switch = True
    interleave: _Switch = True
    long_output_first: _Switch = False


def check_file(raw: object) -> None:
    """Refuse what has not the shape of a file of traces.

    Raises:
        UnknownTrace: names the first thing that is wrong.
    """
    _check(_File, raw)


def check_settings(raw: Mapping[str, Any], *, is_static: bool) -> None:
    """Refuse settings of the wrong type, or that lack what the policy needs.

    Raises:
        UnknownTrace: names the first thing that is wrong.
    """
    _check(_Shapes if is_static else _Bounds, raw)


def _check(shape: type[BaseModel], raw: object) -> None:
    try:
        shape.model_validate(raw)
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in found["loc"]) or "the whole"
        raise UnknownTrace(f"{where}: {found['msg'].removeprefix('Value error, ')}") from None
