"""What `make stubs` makes of the protos; nothing here is written by hand."""
