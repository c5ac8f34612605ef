"""Names of images, and pulling them."""
