"""Methods of gRPC, by service: decode, call one use case, encode."""
