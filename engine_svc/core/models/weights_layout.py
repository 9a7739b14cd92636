"""The tensors that a checkpoint of a given geometry holds: names as transformers writes them."""

from engine_svc.core.models.geometry import Geometry

Shape = tuple[int, ...]

EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"


def expected_tensors(geometry: Geometry) -> dict[str, Shape]:
    """Name and shape of every tensor that must be there, and no other may.

    A tied head is not in it: such a checkpoint may repeat the embedding as the head.
    """
    width = geometry.hidden_size
    tensors: dict[str, Shape] = {
        EMBEDDING: (geometry.vocab_size, width),
        "model.norm.weight": (width,),
    }
    if not geometry.has_tied_embeddings:
        tensors[HEAD] = (geometry.vocab_size, width)
    layer = _layer(geometry)
    for idx in range(geometry.num_layers):
        tensors |= {f"model.layers.{idx}.{name}": shape for name, shape in layer.items()}
    return tensors


def is_known_buffer(name: str) -> bool:
    """Whether old checkpoints carry this tensor although it follows from the configuration."""
    return name.endswith(".self_attn.rotary_emb.inv_freq")


def _layer(geometry: Geometry) -> dict[str, Shape]:
    width, inner = geometry.hidden_size, geometry.intermediate_size
    kv_width = geometry.num_kv_heads * geometry.head_dim
    attention: dict[str, Shape] = {
        "self_attn.q_proj": (width, width),
        "self_attn.k_proj": (kv_width, width),
        "self_attn.v_proj": (kv_width, width),
        "self_attn.o_proj": (width, width),
    }
    mlp: dict[str, Shape] = {
        "mlp.gate_proj": (inner, width),
        "mlp.up_proj": (inner, width),
        "mlp.down_proj": (width, inner),
    }
    return {
        "input_layernorm.weight": (width,),
        "post_attention_layernorm.weight": (width,),
        **_linears(attention, has_bias=geometry.has_attention_bias),
        **_linears(mlp, has_bias=geometry.has_mlp_bias),
    }


def _linears(weights: dict[str, Shape], *, has_bias: bool) -> dict[str, Shape]:
    tensors = {f"{name}.weight": shape for name, shape in weights.items()}
    if has_bias:
        tensors |= {f"{name}.bias": shape[:1] for name, shape in weights.items()}
    return tensors
