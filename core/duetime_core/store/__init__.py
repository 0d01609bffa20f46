"""Every SQL statement of Duetime.

Each module has one concern. Its functions take the engine (`database.connect`) first, use one statement where
possible, and raise `errors`: all of them StoreUnavailable.
"""
