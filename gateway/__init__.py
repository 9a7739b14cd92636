"""The gateway: the public face; speaks protobuf to tokenizer and engine services."""
