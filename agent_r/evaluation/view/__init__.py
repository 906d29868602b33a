"""A page to read a measurement's episodes on, those of two actors side by side."""
