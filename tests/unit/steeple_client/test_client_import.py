"""Importing the client is no burden: it comes with what speaks gRPC, and nothing else."""

import json
import subprocess
import sys

IMPORTED = """
import json, sys
import steeple_client
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""
ALLOWED = {"cython_runtime", "google", "grpc", "grpc_health", "steeple", "typing_extensions"}


def test_a_client_in_plaintext_loads_grpc_and_protobuf_alone() -> None:
    """No torch, no command line, no settings, no telemetry, and nothing for certificates."""
    command = [sys.executable, "-c", IMPORTED]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    ours = {"steeple_client", "steeple_rpc"}
    loaded = {name for name in json.loads(done.stdout) if not name.startswith("_")}
    foreign = loaded - sys.stdlib_module_names - ours
    # grpcio itself looks whether these are there.
    assert foreign - {"grpc_reflection", "grpc_tools"} <= ALLOWED
    assert "grpc" in foreign
