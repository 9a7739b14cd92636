"""Train the demo model and write its whole directory.

Run `python -m steeple_demo.train --out DIR`. The same seed on the same machine and software
gives the same weights.
"""

import argparse
import logging
import os
import random
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read once, when torch is loaded

import torch
import transformers
from tokenizers import Tokenizer
from torch.nn import functional
from transformers import GenerationConfig, GraniteConfig, GraniteForCausalLM

from steeple_demo.batches import IGNORED, Batch, batches, encode
from steeple_demo.card import CardFacts, render_card
from steeple_demo.cases import all_cases
from steeple_demo.chat_format import END_OF_TEXT, PAD
from steeple_demo.corpus import conversations, equations, hard_cases
from steeple_demo.evaluate import evaluate
from steeple_demo.plan import TrainingPlan
from steeple_demo.tokenizer import MAX_LEN, VOCAB_SIZE, build_tokenizer, save_tokenizer

__all__ = ["build_model", "main", "polish", "save_model", "train"]

_LOG: Final = logging.getLogger(__name__)
_WEIGHTS: Final = "model.safetensors"
_NUM_STEPS: Final = 7000
_HIDDEN_SIZE: Final = 128
_NUM_LAYERS: Final = 3
_NUM_HEADS: Final = 8
_NUM_KEY_VALUE_HEADS: Final = 4
_NUM_THREADS: Final = 2
_STEPS_PER_REPORT: Final = 250


def main() -> None:
    """Train as the command line says, measure the model, and write its directory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--steps", type=int, default=_NUM_STEPS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(_NUM_THREADS)
    plan = TrainingPlan(num_steps=arguments.steps, seed=arguments.seed)
    _train_and_write(plan, directory=arguments.out)


def build_model(tokenizer: Tokenizer) -> GraniteForCausalLM:
    """Build an untrained model whose attention is scaled by head_dim ** -0.5.

    Granite's own default of 1.0 leaves so small a model on a plateau.
    """
    config = GraniteConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=_HIDDEN_SIZE,
        intermediate_size=4 * _HIDDEN_SIZE,
        num_hidden_layers=_NUM_LAYERS,
        num_attention_heads=_NUM_HEADS,
        num_key_value_heads=_NUM_KEY_VALUE_HEADS,
        max_position_embeddings=MAX_LEN,
        attention_multiplier=(_HIDDEN_SIZE // _NUM_HEADS) ** -0.5,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.token_to_id(END_OF_TEXT),
        pad_token_id=tokenizer.token_to_id(PAD),
    )
    return GraniteForCausalLM(config)


def train(plan: TrainingPlan, *, tokenizer: Tokenizer) -> GraniteForCausalLM:
    """Train a model in fp32 and return it ready for inference."""
    torch.manual_seed(plan.seed)
    model = build_model(tokenizer)
    _fit(model, plan, _curriculum(plan, tokenizer=tokenizer), plan.learning_rate)
    return polish(model, plan, tokenizer=tokenizer)


def polish(
    model: GraniteForCausalLM, plan: TrainingPlan, *, tokenizer: Tokenizer
) -> GraniteForCausalLM:
    """Go on with what is rare and hard; depends on nothing but the weights and the plan."""
    rng = random.Random(plan.seed + 1)  # noqa: S311 - it draws text, no secret
    samples = (encode(conversation, tokenizer=tokenizer) for conversation in hard_cases(rng))
    stream = batches(samples, num_rows=plan.num_rows, row_len=plan.row_len)
    steps = islice(stream, plan.num_polish_steps)
    _fit(model, plan, steps, plan.polish_learning_rate)
    model.train(mode=False)
    return model


def _fit(
    model: GraniteForCausalLM,
    plan: TrainingPlan,
    steps: Iterator[Batch],
    learning_rate: Callable[[int], float],
) -> None:
    optimizer = torch.optim.AdamW(
        model.parameters(), betas=(0.9, 0.98), weight_decay=plan.weight_decay
    )
    for step, batch in enumerate(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step)
        loss = _loss(model, batch=batch)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        torch.nn.utils.clip_grad_norm_(model.parameters(), plan.max_gradient_norm)
        optimizer.step()
        optimizer.zero_grad()
        if step % _STEPS_PER_REPORT == 0:
            _LOG.info("step %d: loss %.4f", step, loss.item())


def save_model(model: GraniteForCausalLM, *, directory: Path) -> None:
    """Write the configs and the weights; by default the model decodes greedily."""
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]  # upstream's
        do_sample=False,
        eos_token_id=model.config.eos_token_id,
        pad_token_id=model.config.pad_token_id,
    )
    model.save_pretrained(directory)
    (directory / _WEIGHTS).chmod(0o644)  # safetensors makes it private to its owner


def _train_and_write(plan: TrainingPlan, *, directory: Path) -> None:
    tokenizer = build_tokenizer()
    started, started_cpu = time.monotonic(), time.process_time()
    model = train(plan, tokenizer=tokenizer)
    wall_s, cpu_s = time.monotonic() - started, time.process_time() - started_cpu
    directory.mkdir(parents=True, exist_ok=True)
    save_tokenizer(tokenizer, directory=directory)
    save_model(model, directory=directory)
    facts = CardFacts(
        command=_command(plan),
        plan=plan,
        wall_s=wall_s,
        cpu_s=cpu_s,
        software=f"torch {torch.__version__}, transformers {transformers.__version__}",
        num_parameters=model.num_parameters(),
        weights_bytes=(directory / _WEIGHTS).stat().st_size,
    )
    scores = evaluate(model, tokenizer=tokenizer, cases=all_cases())
    (directory / "README.md").write_text(render_card(facts, scores=scores), encoding="utf-8")


def _command(plan: TrainingPlan) -> str:
    return f"python -m steeple_demo.train --out DIR --steps {plan.num_steps} --seed {plan.seed}"


def _curriculum(plan: TrainingPlan, *, tokenizer: Tokenizer) -> Iterator[Batch]:
    rng = random.Random(plan.seed)  # noqa: S311 - it draws text, no secret
    num_later_steps = plan.num_steps - plan.num_equation_steps
    for drawn, num_steps in (
        (equations(rng), plan.num_equation_steps),
        (conversations(rng), num_later_steps),
    ):
        samples = (encode(conversation, tokenizer=tokenizer) for conversation in drawn)
        stream = batches(samples, num_rows=plan.num_rows, row_len=plan.row_len)
        yield from islice(stream, num_steps)


def _loss(model: GraniteForCausalLM, *, batch: Batch) -> torch.Tensor:
    output = model(
        input_ids=batch.token_ids,
        attention_mask=batch.attention_mask,
        position_ids=batch.position_ids,
        use_cache=False,
    )
    logits = output.logits.flatten(0, 1)  # [num_rows * row_len, vocab]
    return functional.cross_entropy(logits, batch.targets.flatten(), ignore_index=IGNORED)


if __name__ == "__main__":
    main()
