"""GPTBigCode: learned positions, layer norms, plain MLPs, one head of keys or one per head."""

from typing import TYPE_CHECKING, Any

from engine_svc.core.models.config_fields import EVERYWHERE, mend, only, refuse, serve, unused
from engine_svc.core.models.config_values import (
    Json,
    fail,
    flag,
    positive_int,
    positive_number,
)
from engine_svc.core.models.family import Family, Shape, Task, Tensors
from engine_svc.core.models.fms_model import common_fields, fms_converted
from engine_svc.core.models.geometry import Geometry
from engine_svc.core.models.weights_layout import linears

if TYPE_CHECKING:
    from torch import Tensor, nn

EMBEDDING = "transformer.wte.weight"
_ACTIVATIONS = ("gelu", "gelu_pytorch_tanh", "relu")
_GELU_TANH = "gelu_pytorch_tanh"


def _read(config: Json) -> Geometry:
    width, num_heads = positive_int(config, "n_embd"), positive_int(config, "n_head")
    if width % num_heads:
        fail("n_embd", width, "be a multiple of n_head")
    is_multi_query = flag(config, "multi_query", default=True)
    return Geometry(
        vocab_size=positive_int(config, "vocab_size"),
        hidden_size=width,
        intermediate_size=positive_int(config, "n_inner", 4 * width),
        num_layers=positive_int(config, "n_layer"),
        num_heads=num_heads,
        num_kv_heads=1 if is_multi_query else num_heads,
        head_dim=width // num_heads,
        max_position_embeddings=positive_int(config, "n_positions"),
        norm_eps=positive_number(config, "layer_norm_epsilon", 1e-5),
        rope=None,
        activation=config.get("activation_function", _GELU_TANH),
        has_tied_embeddings=flag(config, "tie_word_embeddings", default=True),
        has_attention_bias=True,
        has_mlp_bias=True,
    )


def _tensors(geometry: Geometry) -> dict[str, Shape]:
    width = geometry.hidden_size
    tensors: dict[str, Shape] = {
        EMBEDDING: (geometry.vocab_size, width),
        "transformer.wpe.weight": (geometry.max_position_embeddings, width),
        **linears({"transformer.ln_f": (width,)}, has_bias=True),
    }
    if not geometry.has_tied_embeddings:
        tensors["lm_head.weight"] = (geometry.vocab_size, width)
    for idx in range(geometry.num_layers):
        tensors |= {f"transformer.h.{idx}.{name}": shape for name, shape in _layer(geometry)}
    return tensors


def _layer(geometry: Geometry) -> list[tuple[str, Shape]]:
    width, inner = geometry.hidden_size, geometry.intermediate_size
    fused = width + 2 * geometry.num_kv_heads * geometry.head_dim
    weights: dict[str, Shape] = {
        "ln_1": (width,),
        "ln_2": (width,),
        "attn.c_attn": (fused, width),
        "attn.c_proj": (width, width),
        "mlp.c_fc": (inner, width),
        "mlp.c_proj": (width, inner),
    }
    return list(linears(weights, has_bias=True).items())


def _build(geometry: Geometry) -> "nn.Module":
    from fms.models.gpt_bigcode import GPTBigCode, GPTBigCodeConfig

    model: nn.Module = GPTBigCode(
        GPTBigCodeConfig(
            # FMS would take the position from every token with the id pad_id.
            **common_fields(geometry) | {"pad_id": None},
            multiquery_attn=geometry.num_kv_heads == 1,
            ln_eps=geometry.norm_eps,
        )
    )
    return model


def _convert(tensors: Tensors, geometry: Geometry, model: "nn.Module") -> Tensors:
    if geometry.num_kv_heads > 1:
        tensors = {
            name: _by_kind(tensor, geometry) if ".attn.c_attn." in name else tensor
            for name, tensor in tensors.items()
        }
    return fms_converted("gpt_bigcode", tensors, geometry, model)


def _by_kind(fused: "Tensor", geometry: Geometry) -> "Tensor":
    """Rows of (head, kind, place) in the order (kind, head, place); kinds: query, key, value."""
    rows = fused.view(geometry.num_heads, 3, geometry.head_dim, *fused.shape[1:])
    return rows.transpose(0, 1).reshape(fused.shape)


def _is_activation(value: Any, _: Json) -> bool:
    return isinstance(value, str) and value in _ACTIVATIONS


def _is_heads_of_keys(value: Any, config: Json) -> bool:
    is_multi_query = config.get("multi_query", True)
    return bool(value == 1 if is_multi_query else value == config.get("n_head"))


GPT_BIGCODE = Family(
    task=Task.DECODER,
    architecture="GPTBigCodeForCausalLM",
    model_type="gpt_bigcode",
    fields=dict(EVERYWHERE)
    | serve(
        "layer_norm_epsilon",
        "n_embd",
        "n_head",
        "n_inner",
        "n_layer",
        "n_positions",
        "tie_word_embeddings",
        "vocab_size",
    )
    | mend("multi_query", "where false, the fused weights are put in FMS's order")
    | refuse("activation_function", f"{', '.join(_ACTIVATIONS)} are computed", _is_activation)
    | refuse("num_key_value_heads", "multi_query says another number", _is_heads_of_keys)
    | refuse("scale_attn_weights", "scores are scaled", only((True,)))
    | unused("nothing is dropped when serving", "attn_pdrop", "embd_pdrop", "resid_pdrop")
    | unused(
        "the softmax is in float32 anyway",
        "attention_softmax_in_fp32",
        "scale_attention_softmax_in_fp32",
    ),
    read=_read,
    tensors=_tensors,
    build=_build,
    convert=_convert,
    embedding=EMBEDDING,
    layer_prefix="transformer.h.",
)
