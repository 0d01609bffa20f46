"""Reading requests about audit events, and writing events as protobuf."""
