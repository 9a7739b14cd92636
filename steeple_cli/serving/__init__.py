"""Three services as one: what `steeple serve` and `steeple demo` are made of."""
