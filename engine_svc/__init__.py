"""The engine service: owns the accelerator, schedules requests, token ids in and out."""

import os

from steeple_rpc.python_version import check_python

check_python()

# Read when grpc is imported. The front starts the core as a subprocess, which gRPC would take for
# a fork of its own and complain about on every start.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
