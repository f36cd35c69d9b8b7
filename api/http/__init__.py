"""The HTTP surface: a route decodes, calls one use case, encodes."""
