"""What Duetime's server and worker share. Imports nothing else of Duetime's, and no protobuf."""
