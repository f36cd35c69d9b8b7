"""Who may do what: API keys, scopes, limits. Knows no HTTP: whoever carries a request asks a `Gate`."""
