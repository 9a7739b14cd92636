"""What several test folders build on."""
