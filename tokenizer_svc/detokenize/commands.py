"""What a gateway can ask of the sessions of its stream, and what it is told."""

from collections.abc import Sequence
from dataclasses import dataclass

from steeple_rpc.errors import ServiceError
from tokenizer_svc.detokenize.session_values import Progress, SessionOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Starts a session."""

    session: int
    model: str
    options: SessionOptions
    prompt_tail_ids: Sequence[int] = ()
    prior_output_ids: Sequence[int] = ()

    @property
    def num_steps(self) -> int:
        """How much work it is: some microseconds each."""
        num_ids = len(self.prompt_tail_ids) + len(self.prior_output_ids)
        return num_ids + sum(map(len, self.options.stops))


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """New output ids of a session."""

    session: int
    first_position: int
    ids: Sequence[int]
    aside_ids: Sequence[int] = ()
    """Ids that are no output; their own texts are wanted."""
    is_final: bool = False

    @property
    def num_steps(self) -> int:
        """How much work it is: some microseconds each."""
        return len(self.ids) + len(self.aside_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """Drops a session."""

    session: int

    @property
    def num_steps(self) -> int:
        """How much work it is: none."""
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Malformed:
    """A command that cannot be read; its session fails."""

    session: int
    error: ServiceError

    @property
    def num_steps(self) -> int:
        """How much work it is: none."""
        return 0


Command = Open | Push | Close | Malformed


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What became of one session."""

    session: int
    outcome: Progress | ServiceError
    """An error has ended the session."""
