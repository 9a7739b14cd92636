"""What every command holds to: how it is typed, how it helps, how it ends."""
