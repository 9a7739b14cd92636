"""Three real processes, scraped over HTTP while requests run and after."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from steeple_client import Client, TextDelta, Usage, user
from tests.integration.conftest import SLOW
from tests.support.deployment import Deployment, Service
from tests.support.scraping import Scrape, scrape
from tests.support.waiting import eventually

ON = ("--metrics-listen=127.0.0.1:0",)
NUM_TOKENS = 8
GENERATE = "/steeple.inference.v1.InferenceService/Generate"
ENCODE = "/steeple.tokenizer.v1.TokenizerService/Encode"
ABORT = "/steeple.engine.v1.EngineService/Abort"


@pytest.fixture(scope="module")
def watched(demo_dir: Path) -> Iterator[Deployment]:
    """A slow engine; every service serves its metrics."""
    with Deployment(demo_dir, engine=[*SLOW, *ON], gateway=ON, tokenizer=ON) as deployment:
        yield deployment


def of(service: Service | None) -> Scrape:
    """A scrape of a service."""
    assert service is not None
    told = next(event for event in service.events if event["event"] == "metrics_serving")
    return scrape(str(told["address"]))


def live(watched: Deployment) -> Mapping[str, float]:
    """What each service has of requests that run now."""
    gateway, tokenizer = of(watched.gateway), of(watched.tokenizer)
    return {
        "running": of(watched.engine).value("steeple_engine_requests_running"),
        "permits": gateway.value("steeple_gateway_permits_in_use", model="demo"),
        "gateway's sessions": gateway.value("steeple_gateway_detokenize_sessions"),
        "sessions": tokenizer.value("steeple_tokenizer_sessions"),
    }


def test_while_a_stream_runs_everybody_tells_one_request(watched: Deployment) -> None:
    """And none when it has been left, and another one has ended."""
    with Client(watched.target) as client:
        stream = client.generate_stream("hello there", max_tokens=900, ignore_eos=True)
        next(event for event in stream if isinstance(event, TextDelta))
        assert set(live(watched).values()) == {1}
        assert of(watched.tokenizer).value("steeple_tokenizer_streams") == 1
        stream.close()
        client.generate("and another", max_tokens=2)
    eventually(lambda: set(live(watched).values()) == {0}, lambda: str(live(watched)))


def num_open(watched: Deployment) -> float:
    """RPCs of callers that the gateway has not counted as ended."""
    return of(watched.gateway).value("steeple_rpcs_in_flight")


def test_the_gateway_counts_what_the_usages_tell(watched: Deployment) -> None:
    """TTFT counts requests, latencies and tokens count tokens."""
    eventually(lambda: num_open(watched) == 0)
    before = of(watched.gateway)
    usages = three_requests(watched)
    eventually(lambda: num_open(watched) == 0)
    after = of(watched.gateway)

    def grown(name: str, **labels: str) -> float:
        return after.value(name, **labels) - before.value(name, **labels)

    assert grown("steeple_gateway_time_to_first_token_seconds_count", model="demo") == 3
    assert grown("steeple_gateway_requests_total", outcome="MAX_TOKENS") == 3
    completion = sum(usage.num_completion_tokens for usage in usages)
    prompt = sum(usage.num_prompt_tokens for usage in usages)
    assert grown("steeple_gateway_completion_tokens_total", model="demo") == completion
    assert grown("steeple_gateway_prompt_tokens_total", model="demo") == prompt
    # All but the tokens of the three first deltas.
    later = grown("steeple_gateway_inter_token_latency_seconds_count", model="demo")
    assert 0 < later <= completion - 3
    assert grown("steeple_rpcs_total", code="OK", method=GENERATE) == 1


def test_the_engine_and_the_tokenizer_service_count_what_they_did(watched: Deployment) -> None:
    before, encoder = settled(watched.engine), of(watched.tokenizer)
    three_requests(watched)
    after, encoded = settled(watched.engine), of(watched.tokenizer)

    def grown(name: str) -> float:
        return after.value(name) - before.value(name)

    assert grown("steeple_engine_output_tokens_total") >= 3 * NUM_TOKENS
    assert grown("steeple_engine_queue_seconds_count") == 3
    steps = grown("steeple_engine_steps_total")
    assert grown("steeple_engine_step_duration_seconds_count") == steps > NUM_TOKENS
    # The fake runner takes 25 ms for each.
    assert grown("steeple_engine_step_duration_seconds_sum") >= 0.025 * steps
    capacity = after.value("steeple_engine_kv_blocks_capacity")
    assert after.value("steeple_engine_kv_blocks") == capacity > 0
    assert after.value("steeple_engine_kv_blocks", state="used") == 0
    for work, count in (("encode", 2), ("render", 1)):
        done = partial(Scrape.value, name="steeple_tokenizer_work_seconds_count", work=work)
        assert done(encoded) - done(encoder) == count


def test_what_never_happened_is_counted_as_0(watched: Deployment) -> None:
    """An alert on a rate sees the first one, too."""
    gateway, tokenizer, engine = of(watched.gateway), of(watched.tokenizer), of(watched.engine)
    never = (
        (gateway, "steeple_gateway_requests_total", {"model": "", "outcome": "QUEUE_FULL"}),
        (gateway, "steeple_gateway_requests_total", {"model": "demo", "outcome": "STEP_FAILED"}),
        (gateway, "steeple_gateway_takeovers_total", {"reason": "ENGINE_LOST"}),
        (gateway, "steeple_rpcs_total", {"method": GENERATE, "code": "INTERNAL"}),
        (tokenizer, "steeple_rpcs_total", {"method": ENCODE, "code": "INTERNAL"}),
        (engine, "steeple_rpcs_total", {"method": ABORT, "code": "UNAVAILABLE"}),
        (engine, "steeple_engine_faults_total", {"reason": "STEP_FAILED"}),
    )
    for told, name, labels in never:
        assert labels in told.labels(name), name
        assert told.value(name, **labels) == 0
    assert {"model": "demo"} in tokenizer.labels("steeple_tokenizer_prompt_tokens_total")


def settled(engine: Service) -> Scrape:
    """A scrape of an engine that has no work, and has counted all of its last step."""
    seen: list[Scrape] = []

    def is_still() -> bool:
        seen[:] = [of(engine)]
        steps = seen[0].value("steeple_engine_steps_total")
        timed = seen[0].value("steeple_engine_step_duration_seconds_count")
        return seen[0].value("steeple_engine_requests_running") == 0 and timed == steps

    eventually(is_still)
    return seen[0]


def three_requests(watched: Deployment) -> list[Usage]:
    """Generate, Chat and GenerateStream, one after the other."""
    with Client(watched.target) as client:
        stream = client.generate_stream("x", max_tokens=NUM_TOKENS, ignore_eos=True)
        return [
            client.generate("one two three", max_tokens=NUM_TOKENS, ignore_eos=True).usage,
            client.chat([user("hello")], max_tokens=NUM_TOKENS, ignore_eos=True).usage,
            *(event for event in stream if isinstance(event, Usage)),
        ]


def test_a_metrics_port_that_is_taken_ends_the_service_with_one_clear_line(
    watched: Deployment,
) -> None:
    assert watched.gateway is not None
    told = next(e for e in watched.gateway.events if e["event"] == "metrics_serving")
    service = Service("gateway", [f"--metrics-listen={told['address']}"])
    try:
        assert service.wait() == 2
        assert "--metrics-listen" in str(service.events[-1]["event"])
        assert not any("Traceback" in str(event) for event in service.events)
    finally:
        service.stop()
