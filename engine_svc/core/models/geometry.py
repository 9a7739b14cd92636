"""The numbers that define a model: everything that decides its shapes and arithmetic."""

from dataclasses import dataclass, field

from engine_svc.core.models.config_values import fail
from engine_svc.core.models.rope import Rope

MAX_LAYERS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Multipliers:
    """Granite's four scalars; a family without them leaves them as they are."""

    attention: float | None = None
    """Scale of the attention scores; None = head_dim ** -0.5."""
    embedding: float = 1.0
    logits_divisor: float = 1.0
    residual: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """MLPs of which a gate chooses a few per token."""

    total: int
    per_token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """What an encoder has beside layers: it reads whole texts, padded to one length."""

    pad_id: int
    """The token that fills up a shorter text."""
    padding_position: int | None
    """Where that token stands wherever it is; the others count up from the next position without
    it. None: every token counts, from 0."""
    num_token_types: int
    """0: tokens have no types."""
    num_labels: int
    """Numbers per text, where the head gives labels."""

    @property
    def first_position(self) -> int:
        """The row of the table of positions that the first token takes."""
        return 0 if self.padding_position is None else self.padding_position + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """A model's shapes and arithmetic, whatever its family calls them.

    Raises:
        StartupError: the numbers do not fit each other.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    """Numbers per attention head; any even number, or any at all without a rotation."""
    max_position_embeddings: int
    """Rows of the table of positions."""
    norm_eps: float
    rope: Rope | None
    """None: positions are learned, or there are none."""
    activation: str = "silu"
    """The name that FMS knows it by."""
    has_tied_embeddings: bool
    has_attention_bias: bool
    has_mlp_bias: bool
    multipliers: Multipliers = field(default_factory=Multipliers)
    experts: Experts | None = None
    """None: one MLP for all tokens."""
    encoder: Encoder | None = None
    """None: a decoder."""

    def __post_init__(self) -> None:
        if self.num_layers > MAX_LAYERS:
            fail("num_hidden_layers", self.num_layers, f"be at most {MAX_LAYERS}")
        if self.num_heads % self.num_kv_heads:
            fail("num_key_value_heads", self.num_kv_heads, "divide num_attention_heads")
        if self.rope is not None and self.head_dim % 2:
            fail("head_dim", self.head_dim, "be even")

    @property
    def max_len(self) -> int:
        """Tokens of the longest text that has positions: an encoder keeps rows that none takes."""
        before = 0 if self.encoder is None else self.encoder.first_position
        return self.max_position_embeddings - before

    @property
    def attention_width(self) -> int:
        """Numbers per token in the queries of all heads."""
        return self.num_heads * self.head_dim

    def kv_bytes_per_token(self, *, item_bytes: int) -> int:
        """Bytes of keys and values per token, over all layers."""
        return 2 * self.num_layers * self.num_kv_heads * self.head_dim * item_bytes
