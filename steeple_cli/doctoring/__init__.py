"""What `steeple doctor` looks at: each file one thing, each finding with its remedy."""
