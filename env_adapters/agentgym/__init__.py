"""AgentGym's servers, over HTTP."""
