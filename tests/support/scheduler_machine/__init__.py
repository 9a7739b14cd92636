"""A scheduler, a strict runner, a checker and a list of what is owed, driven step by step."""
