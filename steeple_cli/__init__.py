"""The `steeple` command."""
