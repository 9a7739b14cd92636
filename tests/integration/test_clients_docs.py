"""docs/clients.md does what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.deployment import ROOT, TIMEOUT_S

TEXT = (ROOT / "docs" / "clients.md").read_text()


def test_the_command_that_makes_stubs_makes_those_of_the_public_services(tmp_path: Path) -> None:
    """With the two folders it names, and nothing of the installed package."""
    (command,) = re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        ["bash", "-ec", command],
        cwd=ROOT,
        env={**os.environ, "PATH": path, "OUT": str(tmp_path)},
        timeout=TIMEOUT_S,
        check=True,
    )
    made = {file.name for file in tmp_path.rglob("*_pb2_grpc.py")}
    assert {"inference_service_pb2_grpc.py", "model_service_pb2_grpc.py"} <= made
    assert not (tmp_path / "steeple" / "engine").exists()
