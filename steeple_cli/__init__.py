"""The `steeple` command."""

from steeple_rpc.python_version import check_python

check_python()
