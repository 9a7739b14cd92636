"""Load on a gateway: who sends what and when, what came back, and the figures of it."""
