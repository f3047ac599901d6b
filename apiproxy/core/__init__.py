"""What an exchange is, and the bytes it is made of: plain Python, no input or output."""
