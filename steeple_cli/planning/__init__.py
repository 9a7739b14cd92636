"""What a policy would do with a workload: the real schedulers, a virtual clock, made-up tokens."""
