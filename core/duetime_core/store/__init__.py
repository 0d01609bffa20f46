"""Every SQL statement of Duetime.

Each module is one concern. Its functions take the engine (`database.connect`) first, do their work in one
statement where that is possible, and raise `errors`: StoreUnavailable from all of them.
"""
