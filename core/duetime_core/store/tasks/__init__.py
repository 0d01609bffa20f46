"""The SQL of tasks: create, read, edit, record outcomes, explain."""
