"""The ``embedd`` command."""
