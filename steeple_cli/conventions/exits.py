"""What the status of a command tells; 0: it did what was asked."""

FAILED = 1
"""It was tried and did not work; trying again may."""
USAGE_ERROR = 2
"""It cannot work with these options; trying again without a change is useless."""
INTERRUPTED = 130
"""Ctrl-C ended it before it was done, as a shell tells of a signal."""
