"""Conversations to ids: the model's own template, sandboxed; a caller's text stays text."""
