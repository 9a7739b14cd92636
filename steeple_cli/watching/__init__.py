"""What `steeple top` shows."""
