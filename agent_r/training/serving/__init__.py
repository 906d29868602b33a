"""What is trained is served next: adapters are loaded, servers restarted, switches checked."""
