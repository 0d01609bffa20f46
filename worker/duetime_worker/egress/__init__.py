"""What tasks may make a worker connect to: the only way in which a handler of ours calls what a caller names."""
