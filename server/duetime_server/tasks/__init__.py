"""Requests and responses about tasks."""
