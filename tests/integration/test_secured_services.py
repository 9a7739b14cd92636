"""Real processes with TLS and tokens: a foreign client, mutual TLS upstream, refused starts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from steeple_client import Client
from tests.support.certificates import Authority, expired
from tests.support.command import steeple
from tests.support.deployment import ROOT, Deployment
from tests.support.guarded import ALICE, GuardedGateway

BUF = str(Path(sys.executable).parent / "buf")
GENERATE = "steeple.inference.v1.InferenceService/Generate"
FAKE = ("--runner=fake", "--fake-step-ms=5", "--max-num-seqs=8", "--max-num-batched-tokens=64")


def test_a_foreign_client_comes_in_by_tls_with_a_token(real: Deployment, tmp_path: Path) -> None:
    """`buf curl`, which knows nothing of ours; without the token it learns the reason."""
    upstreams = [f"--tokenizer={real.tokenizer.address}", f"--engine={real.engine.address}"]
    with GuardedGateway(upstreams, tmp_path) as gateway:
        command = [
            *(BUF, "curl", "--protocol", "grpc", "--cacert", str(gateway.authority.ca)),
            *("--schema", str(ROOT / "protos"), "--data"),
            json.dumps({"text": "What is 2+2?", "stopping": {"maxTokens": 1}}),
        ]
        url = f"https://{gateway.service.address}/{GENERATE}"
        header = ["--header", f"Authorization: Bearer {gateway.tokens[ALICE]}"]
        with_token = subprocess.run(
            [*command, *header, url], capture_output=True, text=True, timeout=60, check=False
        )
        assert with_token.returncode == 0, with_token.stderr
        assert json.loads(with_token.stdout)["outputs"][0]["text"] == "4"
        without = subprocess.run(
            [*command, url], capture_output=True, text=True, timeout=60, check=False
        )
        assert json.loads(without.stderr)["code"] == "unauthenticated"


def test_a_command_that_does_not_trust_the_gateway_says_so_in_one_line(
    real: Deployment, tmp_path: Path
) -> None:
    """The C library below tells of handshakes on its own; nobody wants to read that."""
    upstreams = [f"--tokenizer={real.tokenizer.address}", f"--engine={real.engine.address}"]
    with GuardedGateway(upstreams, tmp_path) as gateway:
        done = steeple("generate", "2+2=", "--tls", f"--target={gateway.service.address}")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("error: UNAVAILABLE: ")
    assert "→ it does not trust us, or we not it: pass --tls-ca" in done.stderr


def test_the_gateway_and_its_upstreams_prove_themselves_to_each_other(
    demo_dir: Path, tmp_path: Path
) -> None:
    """Mutual TLS on both upstream connections; a caller without a certificate stays outside."""
    authority = Authority(tmp_path)
    server, client = authority.issue("upstream"), authority.issue("gateway", "gateway@test.invalid")
    served = [
        f"--tls-cert={server.cert}",
        f"--tls-key={server.key}",
        f"--tls-client-ca={authority.ca}",
    ]
    calling = [
        f"--upstream-ca={authority.ca}",
        f"--upstream-cert={client.cert}",
        f"--upstream-key={client.key}",
    ]
    with (
        Deployment(demo_dir, engine=[*FAKE, *served], tokenizer=served, gateway=calling) as secured,
        Client(secured.target) as caller,
    ):
        assert caller.generate("one two", max_tokens=2).usage.num_completion_tokens == 2


@pytest.mark.parametrize("module", ["gateway", "engine_svc", "tokenizer_svc"])
def test_a_start_that_cannot_be_safe_ends_2_in_one_line(
    demo_dir: Path, tmp_path: Path, module: str
) -> None:
    """Certificates that are missing or of the past, halves of a pair, hashes that are none."""
    past = Authority(tmp_path).issue("past", **expired())
    missing = tmp_path / "missing"
    cases = [
        ([f"--tls-cert={past.cert}", f"--tls-key={past.key}"], "it expired"),
        ([f"--tls-cert={missing}", f"--tls-key={past.key}"], str(missing)),
        ([f"--tls-cert={past.cert}"], "--tls-cert and --tls-key"),
        ([f"--tls-client-ca={past.cert}"], "--tls-client-ca needs"),
    ]
    if module == "gateway":
        cases += [
            ([f"--token-hashes={past.key}"], str(past.key)),
            (["--max-share=0.5"], "--max-share needs"),
            ([f"--upstream-cert={past.cert}"], "--upstream-cert and --upstream-key"),
        ]
    model = {"gateway": [], "engine_svc": [f"--model={demo_dir}", "--runner=fake"]}
    given = model.get(module, [f"--model=demo={demo_dir}"])
    for options, told in cases:
        done = subprocess.run(
            [sys.executable, "-m", module, "--listen=127.0.0.1:0", *given, *options],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert (done.returncode, len(lines)) == (2, 1), done.stderr
        assert told in lines[0]
        assert "-----" not in done.stderr
