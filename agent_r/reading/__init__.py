"""What an actor really said: a reply read, its action found, its reasoning told apart."""
