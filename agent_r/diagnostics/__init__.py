"""What is wrong with an actor or its server, and the setting to change."""
