"""HTTP and the command line: the only place where models and the index meet."""
