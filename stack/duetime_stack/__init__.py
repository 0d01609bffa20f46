"""All of Duetime on one machine in one command."""
