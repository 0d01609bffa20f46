"""The built-in handlers: Send Email, Call Webhook and Generate Report."""
