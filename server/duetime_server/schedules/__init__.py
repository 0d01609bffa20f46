"""Requests and responses about schedules."""
