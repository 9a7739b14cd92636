"""What ends a plan: before anything is simulated, or when its picture cannot be written."""


class PlanRefused(Exception):
    """What was asked for cannot be planned; the message names the option, its limit and the value.

    Ends the command with status 2.
    """
