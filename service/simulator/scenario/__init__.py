"""Calls written down: what the caller does and what is expected, in YAML.

`script` is the language, `reading` takes a file in, `player` plays it over a line, `judging` says what went wrong and
`drawing` draws the call. Nothing here knows the service: who plays a scenario hands over a line, and what is inside.
"""
