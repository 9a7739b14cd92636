"""`steeple doctor` against running deployments; and what it says of a directory comes true."""

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from steeple_cli.app import app
from steeple_client import Client
from tests.support.deployment import Deployment
from tests.support.guarded import ALICE, GuardedGateway
from tests.support.waiting import eventually


def findings(*arguments: str, exit_code: int = 0) -> list[dict[str, Any]]:
    result = CliRunner().invoke(app, ["doctor", "--json", *arguments])
    assert result.exit_code == exit_code, result.stdout + result.stderr
    found: list[dict[str, Any]] = json.loads(result.stdout)["findings"]
    return found


def facts(found: list[dict[str, Any]], about: str) -> dict[str, Any]:
    return next(one["facts"] for one in found if one["about"] == about)


def test_what_is_said_of_a_directory_comes_true(real: Deployment, demo_dir: Path) -> None:
    found = findings(str(demo_dir), "--num-threads=1")
    memory, weights = facts(found, "memory"), facts(found, "weights")
    with Client(real.target) as client:
        model = client.model()
    (engine,) = model.engines
    assert memory["kv_tokens"] == model.kv_tokens
    assert memory["kv_cache_bytes"] == engine.kv_cache_bytes
    assert memory["max_model_len"] == model.max_model_len
    assert memory["max_concurrency"] == model.max_concurrency
    assert (memory["scheduler"], memory["max_num_seqs"]) == (engine.scheduler, engine.max_num_seqs)
    assert weights["weights_bytes"] == engine.weights_bytes
    assert (weights["runner"], weights["device"]) == (engine.runner, engine.device)
    assert weights["dtype"] == model.dtype


def test_a_deployment_that_is_well_gives_a_token(fake: Deployment) -> None:
    found = findings("--target", fake.target)
    assert {one["level"] for one in found} == {"ok"}
    assert 0 < facts(found, "answer")["latency_s"] < 30


def test_an_engine_that_is_away_is_told_with_what_follows(demo_dir: Path) -> None:
    with Deployment(demo_dir, engine=["--runner=fake"]) as deployment:
        deployment.engine.stop()
        with Client(deployment.target) as client:
            eventually(lambda: not client.load().engines[0].is_ready)
        found = findings("--target", deployment.target, exit_code=1)
    failing = {one["about"]: one for one in found if one["level"] == "fail"}
    assert failing.keys() == {"engine 0", "model"}
    assert "ENGINE_NOT_READY" in failing["model"]["told"]
    assert all("--engine" in one["remedy"] for one in failing.values())


def test_a_guarded_gateway_says_what_it_wants(fake: Deployment, tmp_path: Path) -> None:
    """First TLS, then a token; with both it is looked at, and watched, like any other."""
    upstreams = [f"--tokenizer={fake.tokenizer.address}", f"--engine={fake.engine.address}"]
    with GuardedGateway(upstreams, tmp_path) as guarded:
        address = ("--target", guarded.service.address)
        tls = ("--tls-ca", str(guarded.authority.ca))
        token = ("--token", guarded.tokens[ALICE])
        (plain,) = findings(*address, exit_code=1)
        (nameless,) = findings(*address, *tls, exit_code=1)
        found = findings(*address, *tls, *token)
        top = CliRunner().invoke(app, ["top", "--once", *address, *tls, *token])
    assert "--tls" in plain["remedy"]
    assert "TOKEN_MISSING" in nameless["told"]
    assert "--token-file" in nameless["remedy"]
    assert {one["level"] for one in found} == {"ok"}
    assert (top.exit_code, "demo" in top.stdout) == (0, True)
