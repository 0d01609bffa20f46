"""The egress policy, and the client that enforces it: built-in handlers call destinations in task_data only here."""
