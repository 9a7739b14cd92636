"""Every batching policy through the whole service: the same tokens, and nothing is left behind."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict
from tokenizers import Tokenizer

from engine_svc.core.params import RequestId
from steeple.engine.v1 import engine_service_pb2_grpc, info_pb2
from steeple_client import Client, TextDelta
from steeple_rpc.channel import open_sync_channel
from steeple_rpc.errors import InvalidRequest
from tests.support.deployment import Deployment
from tests.support.mixes import MAX_NEW, MAX_PROMPT, MixedRequest, random_mix
from tests.support.models import LLAMA, TinyModel, save_model
from tests.support.tokenizers import byte_level_json, write_model
from tests.support.waiting import eventually

CONTEXT = 320
WORDS = Tokenizer.from_str(byte_level_json()).get_vocab_size()
TINY = TinyModel(
    name="llama-with-words",
    family="llama",
    config=LLAMA.config | {"vocab_size": WORDS, "max_position_embeddings": CONTEXT},
)
MIX = random_mix(11, num_requests=24, vocab_size=WORDS)
SMALL_MIX = random_mix(12, num_requests=10, vocab_size=WORDS)
ENGINE = (
    "--runner=fms",
    "--dtype=float32",
    "--num-threads=1",
    "--max-num-waiting=64",
)
PATIENCE_S = 60.0
Answers = Mapping[RequestId, Sequence[int]]
Stub = engine_service_pb2_grpc.EngineServiceStub


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A policy as a person asks for it, and what its engine then tells about it."""

    arguments: tuple[str, ...]
    geometry: dict[str, object]
    too_much: tuple[int, int]
    """A prompt and a max_tokens that fit the context and that the policy can never run."""
    num_cached: int = 0
    """Tokens of a prompt of 150 that are spared when it comes again."""


POLICIES = {
    "static": Served(
        arguments=(f"--warmup-shapes=64:{MAX_NEW}:4,192:{MAX_NEW}:2,64:200:1",),
        geometry={
            "shapes": [
                {"prompt_len": 64, "new_tokens": 200, "batch_size": 1},
                {"prompt_len": 192, "new_tokens": MAX_NEW, "batch_size": 2},
                {"prompt_len": 64, "new_tokens": MAX_NEW, "batch_size": 4},
            ]
        },
        too_much=(65, MAX_NEW + 1),
    ),
    "spyre_continuous": Served(
        arguments=("--max-num-seqs=4", "--join=shift", "--max-batch-tkv=700"),
        geometry={"max_batch_tkv": 700, "join": "shift", "min_decode_rows": 1},
        too_much=(66, CONTEXT - 128 + 2),
    ),
    "spyre_chunked": Served(
        arguments=(
            *("--max-num-seqs=4", "--max-num-batched-tokens=64"),
            *("--max-batch-tkv=600", "--min-decode-rows=2"),
        ),
        geometry={
            "chunk_len": 64,
            "max_batch_tkv": 600,
            "interleave": True,
            "over_limit": "pause",
            "pause_order": "fewest-first",
            "prefix_caching": True,
            "min_decode_rows": 2,
        },
        too_much=(10, 292),
        num_cached=128,
    ),
}

VARIANTS: Mapping[str, tuple[str, tuple[str, ...], Mapping[str, object]]] = {
    "join-wait": ("spyre_continuous", ("--join=wait",), {"join": "wait"}),
    "look-ahead": (
        "spyre_chunked",
        ("--over-limit=look-ahead", "--max-batch-tkv=600", "--max-num-batched-tokens=64"),
        {"over_limit": "look-ahead"},
    ),
    "no-interleave": (
        "spyre_chunked",
        ("--no-interleave", "--max-num-batched-tokens=64"),
        {"interleave": False},
    ),
}
"""What else a policy can be told: its name, the options, and what its engine then tells of them."""


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that has a tokenizer."""
    return write_model(save_model(tmp_path_factory.mktemp("model"), TINY))


@pytest.fixture(scope="module")
def agreed(model_dir: Path) -> Answers:
    """What `continuous` answers to either mix when nobody leaves."""
    with Deployment(model_dir, engine=[*ENGINE, "--max-num-seqs=4"]) as deployment:
        return answers(deployment.target, [*MIX, *SMALL_MIX], leaving=False)


def answers(target: str, mix: Sequence[MixedRequest], *, leaving: bool) -> Answers:
    """Send the whole mix at once; the tokens of each, as far as their callers stayed."""
    with Client(target) as client, ThreadPoolExecutor(len(mix)) as pool:
        return dict(pool.map(lambda r: (r.name, answer(client, r, leaving=leaving)), mix))


def answer(client: Client, request: MixedRequest, *, leaving: bool) -> list[int]:
    """The tokens of one request until its end, or until its caller has enough."""
    sampling, stopping = request.spec.sampling, request.spec.stopping
    stream = client.generate_stream(
        request.spec.prompt_token_ids,
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        seed=sampling.seed,
        max_tokens=stopping.max_tokens,
        min_tokens=stopping.min_tokens,
        stop_token_ids=stopping.stop_token_ids,
        priority=request.spec.priority,
        token_details=True,
        timeout_s=PATIENCE_S,
    )
    tokens: list[int] = []
    for event in stream:
        if isinstance(event, TextDelta):
            tokens += [token.token_id for token in event.tokens]
        if leaving and has_enough(request, tokens):
            stream.close()
            break
    return tokens


def has_enough(request: MixedRequest, tokens: Sequence[int]) -> bool:
    """Whether the caller goes now."""
    return request.leaves_after is not None and len(tokens) >= request.leaves_after


def load_of(stub: Stub) -> info_pb2.GetLoadResponse:
    """How busy the engine is."""
    return stub.GetLoad(info_pb2.GetLoadRequest(), timeout=10)


def rules_of(geometry: info_pb2.Geometry) -> dict[str, object]:
    """What the engine tells of its policy, with what is off or 0."""
    assert geometry.WhichOneof("rules")
    return MessageToDict(
        getattr(geometry, geometry.scheduler),
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )


def check_nothing_is_left(stub: Stub) -> None:
    """Wait until nobody runs, waits or holds a block; every block is free or cached then."""
    eventually(lambda: load_of(stub).num_running + load_of(stub).num_waiting == 0)
    eventually(lambda: load_of(stub).num_used_blocks == 0)
    load = load_of(stub)
    assert load.num_free_blocks + load.num_cached_blocks == load.num_total_blocks > 0


def check_answers(mix: Sequence[MixedRequest], got: Answers, agreed: Answers) -> None:
    """Who stayed has the same answer, who left has its beginning."""
    for request in mix:
        wanted = agreed[request.name]
        if request.leaves_after is not None:
            wanted = wanted[: len(got[request.name])]
        assert got[request.name] == wanted, request.name


def check_refusal(client: Client, served: Served) -> None:
    """What fits the context and not the policy is refused, with the field; a token less runs."""
    num_prompt, max_tokens = served.too_much
    client.generate([7] * num_prompt, max_tokens=max_tokens - 1)
    with pytest.raises(InvalidRequest, match="at most") as caught:
        client.generate([7] * num_prompt, max_tokens=max_tokens)
    assert (caught.value.reason, caught.value.field) == ("CONTEXT_EXCEEDED", "stopping.max_tokens")


def check_cached(client: Client, num_cached: int) -> None:
    """A prompt that comes again: the same answer, and its usage tells what was spared."""
    prompt = [9 + idx for idx in range(150)]
    first, again = [client.generate(prompt, temperature=0.0, max_tokens=5) for _ in range(2)]
    assert first.text == again.text
    assert first.usage.num_cached_prompt_tokens == 0
    assert again.usage.num_cached_prompt_tokens == num_cached


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_answers_as_continuous_does(policy: str, model_dir: Path, agreed: Answers) -> None:
    """All at once, greedy and seeded, with priorities, early ends and callers who leave."""
    served = POLICIES[policy]
    engine = [*ENGINE, f"--scheduler={policy}", *served.arguments]
    with Deployment(model_dir, engine=engine) as deployment:
        check_answers(MIX, answers(deployment.target, MIX, leaving=True), agreed)
        with Client(deployment.target) as client:
            check_refusal(client, served)
            check_cached(client, served.num_cached)
        with open_sync_channel(deployment.engine.address) as channel:
            stub = Stub(channel)
            check_nothing_is_left(stub)
            geometry = stub.GetEngineInfo(info_pb2.GetEngineInfoRequest(), timeout=10).geometry
    assert (geometry.scheduler, geometry.WhichOneof("rules")) == (policy, policy)
    assert rules_of(geometry) == served.geometry


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_of_a_policy_answers_as_continuous_does(
    variant: str, model_dir: Path, agreed: Answers
) -> None:
    """What can be told to a policy changes when something is computed, never what."""
    policy, options, told = VARIANTS[variant]
    engine = [*ENGINE, f"--scheduler={policy}", "--max-num-seqs=4", *options]
    with Deployment(model_dir, engine=engine) as deployment:
        got = answers(deployment.target, SMALL_MIX, leaving=True)
        with open_sync_channel(deployment.engine.address) as channel:
            stub = Stub(channel)
            check_nothing_is_left(stub)
            geometry = stub.GetEngineInfo(info_pb2.GetEngineInfoRequest(), timeout=10).geometry
    check_answers(SMALL_MIX, got, agreed)
    assert told.items() <= rules_of(geometry).items()


def test_the_mix_is_worth_the_while(agreed: Answers) -> None:
    """Long prompts, different answers, early ends, callers who leave in the middle."""
    lengths = [len(agreed[r.name]) for r in MIX]
    assert max(r.spec.num_prompt_tokens for r in MIX) > MAX_PROMPT - 64
    assert len({token for tokens in agreed.values() for token in tokens}) > 50
    assert any(n < r.spec.stopping.max_tokens for n, r in zip(lengths, MIX, strict=True))
    assert any(0 < (r.leaves_after or 0) < n for n, r in zip(lengths, MIX, strict=True))
