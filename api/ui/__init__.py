"""The web page: its files, and the bytes that are sent of them."""
