"""What several services over one PostgreSQL have in common beside their collections: keys, models, quotas.

Only what reads the setting imports this package, for it needs asyncpg (``pip install 'embedd[postgres]'``).
"""
