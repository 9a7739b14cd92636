"""Growing outputs to text: exact, incremental, with stop strings across borders."""
