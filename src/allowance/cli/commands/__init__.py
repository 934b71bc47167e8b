"""The commands, each with ``ABOUT`` and ``EXAMPLES`` for its help, ``add_arguments`` and ``run``."""
