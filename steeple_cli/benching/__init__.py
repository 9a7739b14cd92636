"""`steeple bench`: loads to measure, their figures, and how they are told."""
