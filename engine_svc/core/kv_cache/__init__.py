"""The KV cache seen as blocks."""
