"""The tokenizer service: text to token ids and back, chat templates, growing outputs."""

from steeple_rpc.python_version import check_python

check_python()
