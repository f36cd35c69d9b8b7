"""Use cases over models and index; no aiohttp here."""
