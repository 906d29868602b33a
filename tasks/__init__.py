"""Prefect tasks: a decorator and a thin body each; what they do is in `agent_r`."""
