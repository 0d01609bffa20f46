"""The alternatives that Duetime is compared with, in environments of their own; Duetime never imports them."""
