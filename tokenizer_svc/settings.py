"""What the tokenizer service can be told."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from steeple_rpc.quantities import Quantity
from steeple_rpc.settings import ServiceSettings

Count = Annotated[Quantity, Field(ge=1, le=1 << 24)]


class TokenizerSettings(ServiceSettings):
    """Settings of the tokenizer service; environment names start with STEEPLE_TOKENIZER_."""

    model_config = SettingsConfigDict(
        env_prefix="STEEPLE_TOKENIZER_", cli_prog_name="python -m tokenizer_svc"
    )

    listen: str = Field(default="127.0.0.1:50052", description="where to serve")
    max_message_bytes: Quantity = Field(
        default=64 << 20, ge=1 << 10, le=1 << 30, description="largest message accepted"
    )
    model: tuple[str, ...] = Field(
        min_length=1,
        description="NAME=DIR, or DIR to serve it under its own name; once per model",
    )
    max_prompt_tokens: Count = Field(default=131_072, description="longest prompt encoded")
    template_cpu_s: float = Field(
        default=0.25, gt=0, le=60, description="CPU seconds that one chat template may take"
    )
    num_template_workers: int = Field(
        default=2, ge=1, le=64, description="processes that render chat templates"
    )
    num_threads: Count = Field(default=2, description="threads that encode and decode")
    session_ttl_s: float = Field(
        default=600.0, gt=0, description="seconds without tokens that end a detokenize session"
    )
    max_sessions: Count = Field(default=4096, description="most detokenize sessions on one stream")

    @field_validator("model")
    @classmethod
    def _distinct(cls, model: tuple[str, ...]) -> tuple[str, ...]:
        names = [name_and_directory(entry)[0] for entry in model]
        if "" in names or len(set(names)) < len(names):
            raise ValueError("every model needs a name of its own: pass NAME=DIR")
        return model

    @property
    def directories(self) -> Mapping[str, Path]:
        """The model directories by served name."""
        return dict(map(name_and_directory, self.model))


def name_and_directory(entry: str) -> tuple[str, Path]:
    """Split NAME=DIR; a DIR alone is served under the directory's name."""
    name, equals, directory = entry.partition("=")
    path = Path(directory if equals else name)
    return (name if equals else path.name), path
