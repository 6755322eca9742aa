"""A world without waiting: a clock that jumps, a network in memory, and services that live in both.

The service in it is the real one. What is left out is bytes on sockets: uvicorn, and the framing of WebSockets.
"""
