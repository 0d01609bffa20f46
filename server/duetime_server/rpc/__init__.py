"""What all rpcs share: errors, deadlines, admission, and reading single fields."""
