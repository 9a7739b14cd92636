"""What an engine would serve from a directory: its own checks, its own numbers."""

from collections.abc import Iterator, Sequence

from engine_svc.survey import EngineSurvey, Stage, survey
from steeple_cli.doctoring.finding import Finding, fail, ok, warn
from steeple_cli.showing.concurrency import concurrency_text
from steeple_rpc.sizes import bytes_text, number_text

_MAX_NAMED = 3


def look_at_engine(arguments: Sequence[str]) -> tuple[EngineSurvey, list[Finding]]:
    """What an engine with this command line would serve, and what is to be said of it."""
    found = survey(arguments)
    return found, [*_machine(found), *_model(found)]


def _machine(found: EngineSurvey) -> Iterator[Finding]:
    told = (
        f"{bytes_text(found.free_bytes)} free; {found.num_cores:g} cores, of which"
        f" {found.num_threads} would compute"
    )
    yield ok(
        "machine",
        told,
        free_bytes=found.free_bytes,
        num_cores=found.num_cores,
        num_threads=found.num_threads,
    )


def _model(found: EngineSurvey) -> Iterator[Finding]:
    if found.architecture:
        yield ok(
            "configuration",
            f"{found.architecture}, context of {number_text(found.model_max_len)} tokens,"
            f" vocabulary of {number_text(found.vocab_size)}",
            architecture=found.architecture,
            model_max_len=found.model_max_len,
            vocab_size=found.vocab_size,
        )
    if found.pickles:
        yield _pickles(found.pickles)
    if found.runner is not None:
        yield _weights(found)
    if found.info is not None:
        yield from _room(found)
    if found.failed_at is not None:
        yield fail(_about(found.failed_at), found.fault)


def _about(stage: Stage) -> str:
    return "memory" if stage is Stage.ROOM else stage.value


def _pickles(names: Sequence[str]) -> Finding:
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return warn(
        "weights",
        f"{', '.join(names[:_MAX_NAMED])}{more}: pickle files run code and are never opened",
        "remove them, unless something else needs them",
    )


def _weights(found: EngineSurvey) -> Finding:
    runner = found.runner
    assert runner is not None  # noqa: S101 - asked before
    return ok(
        "weights",
        f"{bytes_text(runner.weights_bytes)} as {runner.dtype}, by the runner {runner.name} on"
        f" {runner.device}; {bytes_text(runner.kv_bytes_per_token)} of KV cache per token",
        runner=runner.name,
        device=runner.device,
        dtype=runner.dtype,
        weights_bytes=runner.weights_bytes,
        kv_bytes_per_token=runner.kv_bytes_per_token,
    )


def _room(found: EngineSurvey) -> Iterator[Finding]:
    info = found.info
    assert info is not None  # noqa: S101 - asked before
    kv_tokens = info.num_blocks * info.block_size
    yield ok(
        "memory",
        f"KV cache of {bytes_text(info.kv_cache_bytes)}: {number_text(kv_tokens)} tokens in"
        f" {number_text(info.num_blocks)} blocks of {info.block_size};"
        f" {concurrency_text(found.max_concurrency, info.max_model_len)}, by the policy"
        f" {info.scheduler}",
        kv_cache_bytes=info.kv_cache_bytes,
        kv_tokens=kv_tokens,
        num_blocks=info.num_blocks,
        block_size=info.block_size,
        max_model_len=info.max_model_len,
        max_num_seqs=info.max_num_seqs,
        max_concurrency=found.max_concurrency,
        scheduler=info.scheduler,
    )
    if found.was_shrunk:
        yield warn(
            "memory",
            f"requests of at most {number_text(info.max_model_len)} tokens, of the"
            f" {number_text(found.model_max_len)} that the model knows",
            "raise --kv-cache-bytes where longer ones are to be served",
        )
