"""Retell AI's custom-LLM WebSocket: `messages` on the wire, `protocol` to and from our words, `assumptions`."""
