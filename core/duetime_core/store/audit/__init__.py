"""The statements about audit events."""
