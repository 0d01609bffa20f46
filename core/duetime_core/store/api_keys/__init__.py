"""The statements about API keys."""
