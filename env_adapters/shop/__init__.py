"""A generated shop in WebShop's format."""
