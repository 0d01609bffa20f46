"""Requests and responses about queues."""
