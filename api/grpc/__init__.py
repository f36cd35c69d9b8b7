"""gRPC beside HTTP: the same use cases for callers that bring stubs. ``protos`` is its contract."""
