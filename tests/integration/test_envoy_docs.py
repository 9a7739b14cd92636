"""The commands of deploy/envoy/README.md, as they stand there."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.deployment import ROOT, TIMEOUT_S, Deployment
from tests.support.envoy import Envoy, needs_envoy

README = ROOT / "deploy" / "envoy" / "README.md"
DOCUMENTED = "http://127.0.0.1:8080"


@needs_envoy
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_calls_of_the_readme_work(real: Deployment, tmp_path: Path) -> None:
    """Each prints JSON; the answers are there."""
    (script,) = re.findall(r"```bash\n(.*?)```", README.read_text(), re.DOTALL)
    assert script.count(DOCUMENTED) == script.count("curl ") == 5
    with Envoy(real.target, tmp_path) as envoy:
        done = subprocess.run(
            ["bash", "-ec", script.replace(DOCUMENTED, f"http://{envoy.target}")],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
    decoder, told, rest = json.JSONDecoder(), [], done.stdout.strip()
    while rest:
        document, end = decoder.raw_decode(rest)
        told.append(document)
        rest = rest[end:].strip()
    models, chat, *events, ids, health = told
    assert models["models"][0]["name"] == "demo"
    assert chat["outputs"][0]["message"]["parts"] == [{"text": "4"}]
    assert "started" in events[0]
    assert "usage" in events[-1]
    assert ids["results"][0]["tokens"]["ids"]
    assert health == {"status": "SERVING"}
