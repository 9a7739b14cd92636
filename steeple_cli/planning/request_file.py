"""A workload from a file: one JSON object per line."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from engine_svc.core.params import RequestId
from steeple_cli.planning.counts import MAX_ARRIVAL_S
from steeple_cli.planning.errors import PlanRefused
from steeple_cli.planning.lengths import MAX_LENGTH
from steeple_cli.planning.workload import PlannedRequest, PromptPrefix, Workload

Length = Annotated[int, Field(ge=1, le=MAX_LENGTH)]


class RequestLine(BaseModel):
    """One line of the file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt_len: Length
    max_tokens: Length
    output_len: Length | None = None
    """Tokens until a stop token comes; None = max_tokens are produced."""
    arrival_s: Annotated[float, Field(ge=0, le=MAX_ARRIVAL_S, allow_inf_nan=False)] = 0.0
    priority: Annotated[int, Field(ge=-(1 << 31), lt=1 << 31)] = 0
    prompt_prefix: tuple[Annotated[str, Field(min_length=1)], Length] | None = None
    """Name and length of a start that other prompts share."""

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        if self.output_len is not None and self.output_len > self.max_tokens:
            raise ValueError(
                f"output_len is at most max_tokens {self.max_tokens}; it is {self.output_len}"
            )
        if self.prompt_prefix is not None and self.prompt_prefix[1] > self.prompt_len:
            raise ValueError(
                f"the length of prompt_prefix is at most prompt_len {self.prompt_len};"
                f" it is {self.prompt_prefix[1]}"
            )
        return self


def read_workload(path: Path) -> Workload:
    """The requests of a file, in the order of arrival; ids count the requests from 0.

    Raises:
        PlanRefused: no such file, a line that is no request, or no request at all.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PlanRefused(f"--requests-file {path} cannot be read: {error}") from None
    lines = list(_parsed(path, text))
    if not lines:
        raise PlanRefused(f"--requests-file {path} holds no request")
    requests = (_planned(idx, line) for idx, line in enumerate(lines))
    return tuple(sorted(requests, key=lambda request: request.arrival_s))


def _parsed(path: Path, text: str) -> Iterator[RequestLine]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield RequestLine.model_validate_json(line, strict=True)
            except ValidationError as error:
                raise PlanRefused(f"{path} line {number}: {_first(error)}") from None


def _first(error: ValidationError) -> str:
    """The first thing that is wrong: where, the limit, the value."""
    found = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in found["loc"])
    reason = found["msg"].removeprefix("Value error, ")
    return f"{where}: {reason}; it is {found['input']!r}" if where else reason


def _planned(idx: int, line: RequestLine) -> PlannedRequest:
    return PlannedRequest(
        request_id=RequestId(str(idx)),
        arrival_s=line.arrival_s,
        prompt_len=line.prompt_len,
        max_tokens=line.max_tokens,
        output_len=line.output_len or line.max_tokens,
        priority=line.priority,
        prefix=PromptPrefix(*line.prompt_prefix) if line.prompt_prefix else None,
    )
