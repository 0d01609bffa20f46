"""The three servicers: each rpc reads its request, calls the store, and writes its response."""
