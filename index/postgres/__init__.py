"""Collections in a PostgreSQL that several services share, with pgvector.

Only what reads the setting imports this package, for it needs asyncpg (``pip install 'embedd[postgres]'``).
"""
