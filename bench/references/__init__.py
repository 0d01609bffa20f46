"""What people would otherwise pick: programs in environments of their own, which Duetime never imports."""
