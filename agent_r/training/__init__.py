"""Fine-tuning jobs: a process of their own."""
