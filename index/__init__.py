"""The vector database: ids, vectors, text and metadata in; nearest rows out. Knows no models and no HTTP."""
