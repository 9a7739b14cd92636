"""The runner for FMS models on any torch device: one ragged forward pass per step."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine_svc.core.kv_cache.block_pool import blocks_for
from engine_svc.core.models.description import ModelDescription
from engine_svc.core.models.dtypes import dtype_name
from engine_svc.core.models.family import Task
from engine_svc.core.models.loader import LoadedModel, load_model
from engine_svc.core.outputs import (
    NO_SLOT,
    Ragged,
    RunnerOutput,
    SampleSpec,
    ScheduledSequence,
    SchedulerOutput,
)
from engine_svc.core.params import BlockId, RequestId, SamplingParams
from engine_svc.core.runner.base import Progress, RunnerInfo
from engine_svc.core.runner.device import open_device
from engine_svc.core.runner.forecast import fms_info
from engine_svc.core.runner.inputs import StepInputs, step_inputs
from engine_svc.core.runner.kv_cache import KvCache, KvShape
from engine_svc.core.runner.paged_attention import ATTENTION_NAME, StepAttention
from engine_svc.core.sampling.answer import answer
from engine_svc.core.sampling.sampler import Sampler


@dataclass(frozen=True, slots=True, kw_only=True)
class FmsOptions:
    """What to load and where."""

    description: ModelDescription
    dtype: str = "auto"
    """"auto" (float32 on a CPU), "float32", "bfloat16" or "float16"."""
    device: str = "cpu"
    """A torch device string."""
    num_threads: int = 1
    """Threads of one operation on the CPU, at least 1; set for the whole process."""


class FmsRunner:
    """Runs steps of any layout from their ragged facts. A `ModelRunner`."""

    def __init__(self, options: FmsOptions) -> None:
        self._options = options
        self._device = torch.device("cpu")
        self._model: LoadedModel | None = None
        self._cache: KvCache | None = None
        self._head_rows: Tensor | None = None
        self._sampler = Sampler()

    def load(self, progress: Progress) -> None:
        """Read and verify the weights; see `ModelRunner.load`."""
        torch.set_num_threads(self._options.num_threads)
        self._device = open_device(self._options.device)
        loaded = load_model(
            self._options.description,
            task=Task.DECODER,
            dtype=self._options.dtype,
            device=self._device,
            progress=progress,
        )
        head: Any = loaded.model.head  # FMS's models are untyped
        head.register_forward_pre_hook(self._select_head_rows)
        self._model = loaded

    def info(self) -> RunnerInfo:
        """What was loaded; see `ModelRunner.info`."""
        loaded = self._loaded()
        return fms_info(
            self._options.description,
            loaded.geometry,
            dtype=dtype_name(loaded.dtype),
            device=str(self._device),
            weights_bytes=loaded.weights_bytes,
            headers=loaded.weights.headers,
        )

    def warm_up(self, *, num_blocks: int, block_size: int, max_num_tokens: int = 1) -> None:
        """Allocate the cache and run a prompt of `max_num_tokens` that writes nothing."""
        loaded = self._loaded()
        shape = KvShape(
            num_layers=loaded.geometry.num_layers,
            num_blocks=num_blocks,
            num_kv_heads=loaded.geometry.num_kv_heads,
            block_size=block_size,
            head_dim=loaded.geometry.head_dim,
        )
        self._cache = KvCache(shape, dtype=loaded.dtype, device=self._device)
        self.execute(_idle_step(chunk_len=max_num_tokens, block_size=block_size))

    def probe(self) -> None:
        """Run a prompt chunk and a decode that write nothing; see `ModelRunner.probe`."""
        self.execute(_idle_step(chunk_len=2, block_size=self._allocated().shape.block_size))

    def execute(self, step: SchedulerOutput) -> RunnerOutput:
        """Run one step; see `ModelRunner.execute`."""
        cache = self._allocated()
        cache.copy_blocks(step.block_copies)
        self._sampler.forget(step.finished_request_ids)
        if not step.sequences:
            return RunnerOutput(token_ids={})
        inputs = step_inputs(step.sequences, block_size=cache.shape.block_size)
        return answer(self._sampler, step.sequences, self._forward(inputs, cache))

    @torch.no_grad()
    def _forward(self, inputs: StepInputs, cache: KvCache) -> Tensor:
        """Compute the logits [num_sampled, vocab] of the rows that want a token."""
        attention = StepAttention.prepare(inputs, cache=cache.layers[0][0])
        self._head_rows = torch.from_numpy(inputs.sampled_rows).to(self._device)
        logits, _ = self._loaded().model(
            torch.from_numpy(inputs.token_ids).to(self._device)[None],
            position_ids=torch.from_numpy(inputs.positions).to(self._device)[None],
            past_key_value_states=cache.layers,
            use_cache=True,
            attn_name=ATTENTION_NAME,
            attention=attention,
        )
        return logits[0]  # type: ignore[no-any-return] # FMS's models are untyped

    # A torch hook: the module and its positional arguments, both of any type.
    def _select_head_rows(self, _: Any, arguments: tuple[Any, ...]) -> tuple[Tensor, ...]:
        """Keep all rows but the wanted ones from the LM head, the costliest layer by far."""
        hidden: Tensor = arguments[0]  # [1, num_tokens, hidden_size]
        rows = self._head_rows
        return (hidden if rows is None else hidden.index_select(1, rows),)

    def _loaded(self) -> LoadedModel:
        if self._model is None:
            raise RuntimeError("load comes before everything else")
        return self._model

    def _allocated(self) -> KvCache:
        if self._cache is None:
            raise RuntimeError("warm_up comes before execute")
        return self._cache


def _idle_step(*, chunk_len: int, block_size: int) -> SchedulerOutput:
    """A prompt chunk and a decode that write nothing: all their blocks are the first one."""
    spec = SampleSpec(sampling=SamplingParams(temperature=0.0), output_index=0)
    sequences = tuple(
        ScheduledSequence(
            request_id=RequestId(f"idle-{name}"),
            token_ids=(0,) * length,
            first_position=0,
            num_prompt_tokens=length,
            block_table=(BlockId(1),) * blocks_for(length, block_size),
            slot_mapping=(NO_SLOT,) * length,
            sample=spec,
        )
        for length, name in ((chunk_len, "chunk"), (1, "decode"))
    )
    return SchedulerOutput(step=1, sequences=sequences, layout=Ragged())
