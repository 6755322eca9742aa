"""Storms: calls drawn by chance, in all that can go wrong, with the service's rules checked on every frame.

`weather` draws, `caller`, `model` and `line` do what was drawn, and `storm` leads them. `watching`, `pledge`, `effects`
and `census` are the rules. All that happens in a storm depends on its seed alone.
"""
