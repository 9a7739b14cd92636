"""The tensors that checkpoints of Llama's layout hold: names as transformers writes them."""

from engine_svc.core.models.family import Shape
from engine_svc.core.models.geometry import Geometry


def llama_tensors(geometry: Geometry) -> dict[str, Shape]:
    """Name and shape of every tensor of a decoder with gated MLPs; a tied head is not in it."""
    return around_layers(geometry, attention_tensors(geometry) | _mlp(geometry))


def around_layers(geometry: Geometry, layer: dict[str, Shape]) -> dict[str, Shape]:
    """The tensors of every layer, and those that belong to none."""
    tensors: dict[str, Shape] = {
        "model.embed_tokens.weight": (geometry.vocab_size, geometry.hidden_size),
        "model.norm.weight": (geometry.hidden_size,),
    }
    if not geometry.has_tied_embeddings:
        tensors["lm_head.weight"] = (geometry.vocab_size, geometry.hidden_size)
    for idx in range(geometry.num_layers):
        tensors |= {f"model.layers.{idx}.{name}": shape for name, shape in layer.items()}
    return tensors


def attention_tensors(geometry: Geometry) -> dict[str, Shape]:
    """The attention and both norms of one layer."""
    width, kv_width = geometry.hidden_size, geometry.num_kv_heads * geometry.head_dim
    attention: dict[str, Shape] = {
        "self_attn.q_proj": (geometry.attention_width, width),
        "self_attn.k_proj": (kv_width, width),
        "self_attn.v_proj": (kv_width, width),
        "self_attn.o_proj": (width, geometry.attention_width),
    }
    return {
        "input_layernorm.weight": (width,),
        "post_attention_layernorm.weight": (width,),
        **linears(attention, has_bias=geometry.has_attention_bias),
    }


def linears(weights: dict[str, Shape], *, has_bias: bool) -> dict[str, Shape]:
    """The tensors of linear layers, given by name and the shape of the weight."""
    tensors = {f"{name}.weight": shape for name, shape in weights.items()}
    if has_bias:
        tensors |= {f"{name}.bias": shape[:1] for name, shape in weights.items()}
    return tensors


def is_known_buffer(name: str) -> bool:
    """Whether old checkpoints carry this tensor although it follows from the configuration."""
    return name.endswith((".self_attn.rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias"))


def _mlp(geometry: Geometry) -> dict[str, Shape]:
    width, inner = geometry.hidden_size, geometry.intermediate_size
    mlp: dict[str, Shape] = {
        "mlp.gate_proj": (inner, width),
        "mlp.up_proj": (inner, width),
        "mlp.down_proj": (width, inner),
    }
    return linears(mlp, has_bias=geometry.has_mlp_bias)
