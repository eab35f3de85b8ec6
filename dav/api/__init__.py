"""The HTTP API below `/api/v1`: MessagePack for syncd (cas/WIRE.md), JSON for everybody else."""
