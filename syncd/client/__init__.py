"""The daemon around the engine, and the command `syncd`: links, tokens, services."""
