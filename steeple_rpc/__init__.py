"""What every service shares to speak the contract: errors, servers, channels, lifecycle."""
