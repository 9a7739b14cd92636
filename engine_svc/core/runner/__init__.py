"""Runners: what executes a step."""
