"""The machine: its folders as a base image, what it can give to containers, its way out."""
