"""What tests share: factories, processes, servers to call, and how to reach them."""
