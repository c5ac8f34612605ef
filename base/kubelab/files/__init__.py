"""Small files that processes remember things in: written whole or not at all, read with doubt."""
