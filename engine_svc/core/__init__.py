"""The engine's core: a process of its own that schedules and runs the model."""
