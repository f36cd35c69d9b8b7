"""Conversations kept over requests: what they are, and where they are kept."""
