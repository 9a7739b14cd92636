"""What ends a plan before it starts."""


class PlanRefused(Exception):
    """What was asked for cannot be planned; the message names the option, its limit and the value.

    Ends the command with status 2.
    """
