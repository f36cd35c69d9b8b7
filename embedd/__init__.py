"""Models: text in; vectors, scores and tokens out. Knows no HTTP, no storage and no search."""
