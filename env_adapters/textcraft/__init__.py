"""TextCraft in pure Python."""
