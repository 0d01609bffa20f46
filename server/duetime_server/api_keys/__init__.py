"""Reading requests about API keys, and writing keys as protobuf."""
