"""What several services over one PostgreSQL have in common beside their collections: keys, models, conversations,
quotas. Only what reads the setting imports this package (``pip install 'embedd[postgres]'``).
"""
