"""Mixed traffic with a random fault every few seconds, and the books at the end: `make soak`."""
