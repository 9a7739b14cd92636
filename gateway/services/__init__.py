"""The public RPCs, one file per service."""
