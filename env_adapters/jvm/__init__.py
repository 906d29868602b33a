"""Worlds that live in a Java virtual machine."""
