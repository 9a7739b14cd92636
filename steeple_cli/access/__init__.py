"""The command that keeps who may come in."""
