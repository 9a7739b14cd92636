"""Sampling: stateless, so that a seed gives the same tokens in any batch."""
