"""Duetime's gRPC server: thin servicers over `duetime_core`."""
