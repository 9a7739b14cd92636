"""Scheduling policies: pure, one file each, found by name in `registry`."""
