"""OpenEnv servers, over their WebSocket."""
