"""The gateway: the public face; speaks protobuf to tokenizer and engine services."""

from steeple_rpc.python_version import check_python

check_python()
