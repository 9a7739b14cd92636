"""What every command shares that calls a gateway."""
