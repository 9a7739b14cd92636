"""Commands that look at a gateway: whether it serves, what it serves, what it does now."""
