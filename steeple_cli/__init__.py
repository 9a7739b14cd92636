"""The `steeple` command."""

import os

from steeple_rpc.python_version import check_python

# grpc tells of failed handshakes on its own, each as a line of the C library's; what the command
# says of a failure has all of it. It is read when grpc is imported, so it stands here.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

check_python()
