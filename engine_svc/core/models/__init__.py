"""Models: what we serve, how it is checked and loaded."""
