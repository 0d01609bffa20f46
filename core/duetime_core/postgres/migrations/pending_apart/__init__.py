"""The statements of the migration that puts pending tasks apart from finished ones.

They are frozen: later releases may change the tables, but not these.
"""
