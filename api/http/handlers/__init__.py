"""One file of handlers per noun of the public contract."""
