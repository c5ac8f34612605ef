"""What the kernel gives and the standard library has no call for."""
