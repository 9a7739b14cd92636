"""What the status of a command tells."""

FAILED = 1
"""It was tried and did not work; trying again may."""
USAGE_ERROR = 2
"""It cannot work with these options; trying again without a change is useless."""
