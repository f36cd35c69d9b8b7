"""Collections copied from one catalog into another, whatever keeps them, while the first one is written to.

``catalog`` copies all that was asked for, each ``collection`` by itself: it is filled, and then follows the
history of its source. ``marks`` say how far it has come, so that a copy that was cut short goes on there, as
``beginning`` finds. ``comparison`` holds the two against each other, ``folder`` reads a data folder beside
its service.
"""
